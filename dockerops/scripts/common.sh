# The steps of a restore of Docker, one function each. script.py carries those that a plan needs into its scripts.
# Before: SOCKET, REPOSITORY, ARCHIVE, TOKEN, MANIFEST_PATH, PLAN, PYTHON_CODE. `remember` notes an undo.

say() {
    printf '%s\n' "$*"
}

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# The engine of this plan, whatever this shell is set to.
d() {
    command docker --host "unix://$SOCKET" "$@"
}

# The script speaks C, in which borg would know no letters beyond ASCII.
borg() {
    LC_ALL=C.UTF-8 command borg "$@"
}

# NAME: an archive for borg, which would take braces for placeholders.
at() {
    local name=${1//\{/\{\{}
    printf '::%s' "${name//\}/\}\}}"
}

check_tools() {
    local tool
    for tool in borg docker curl python3 sha256sum; do
        type -P "$tool" >/dev/null || die "$tool is needed and not installed."
    done
    [ "$(id -u)" = 0 ] || die "Only root can put owners and volumes back."
    [ -S "$SOCKET" ] || die "There is no Docker engine at $SOCKET."
    d version >/dev/null || die "The Docker engine at $SOCKET does not answer."
}

check_plan() {
    local seen
    seen=$(printf '%s' "$PLAN" | sha256sum)
    [ "${seen%% *}" = "$PLAN_HASH" ] || die "This script was changed: its plan is not $PLAN_HASH."
}

# The archive of this name may have been made anew since.
check_archive() {
    local code='import json, sys; print(*[row["id"] for row in json.load(sys.stdin)["archives"] if row["name"] == sys.argv[1]])'
    local listed seen
    listed=$(borg list --json) || die "The archive cannot be read."
    seen=$(printf '%s' "$listed" | LC_ALL=C.UTF-8 python3 -I -c "$code" "$ARCHIVE") || die "The archive cannot be read."
    [ "$seen" = "$ARCHIVE_ID" ] || die "The archive $ARCHIVE is another one than that of the plan: make a new plan."
}

ask_passphrase() {
    export BORG_REPO="${BORG_REPO:-$REPOSITORY}"
    if [ -z "${BORG_PASSPHRASE+x}${BORG_PASSCOMMAND+x}${BORG_PASSPHRASE_FD+x}" ]; then
        read -rs -p "Passphrase of $BORG_REPO: " BORG_PASSPHRASE || true
        printf '\n' >&2
        export BORG_PASSPHRASE
    fi
    check_archive
}

# FIRST or AGAIN: hours may have gone by since somebody agreed to the plan, or since this script began.
look() {
    local ids seen
    ids=$(d ps --all --quiet --no-trunc) || die "The containers cannot be looked at."
    # shellcheck disable=SC2086  # ids are words
    seen=$({
        printf '%s\n' "$PLAN"
        [ -z "$ids" ] || d inspect --type container $ids
    } | python3 -I -c "$PYTHON_CODE" look "$1") || die "The containers cannot be looked at."
    [ -z "$seen" ] || die "This is not as it was when the plan was made: make a new plan."$'\n'"$seen"
}

# Bodies of containers hold secrets: they are kept in a variable, and go from pipe to pipe.
read_manifest() {
    local seen
    MANIFEST=$(borg extract --stdout "$(at "$ARCHIVE")" "pp:${MANIFEST_PATH#/}" && printf x) ||
        die "The archive's manifest cannot be read."
    MANIFEST=${MANIFEST%x}
    [ -n "$MANIFEST" ] || die "The archive has no manifest."
    seen=$(printf '%s' "$MANIFEST" | sha256sum)
    [ "${seen%% *}" = "$MANIFEST_SUM" ] || die "The archive's manifest is another one than that of the plan."
}

api() {
    local answer status
    answer=$(curl --silent --show-error --unix-socket "$SOCKET" --request POST --header 'Content-Type: application/json' \
        --data-binary @- --write-out '\n%{http_code}' "http://localhost$1") || return 1
    status=${answer##*$'\n'}
    if [ "$status" -ge 300 ]; then
        printf 'The engine refuses %s: %s\n' "$1" "${answer%$'\n'*}" >&2
        return 1
    fi
}

# Lines in pairs: a path of the engine, and what is posted to it.
post_all() {
    local path body
    while IFS= read -r path && IFS= read -r body; do
        printf '%s' "$body" | api "$path" || return 1
    done
}

# Python is isolated (-I): a module of its own name in the current directory is somebody else's.
create() {
    local asked
    asked=$(printf '%s\n%s' "$PLAN" "${MANIFEST:-}" | python3 -I -c "$PYTHON_CODE" ask "$1") || return 1
    printf '%s\n' "$asked" | post_all
}

need_image() {
    d image inspect "${2:-$1}" >/dev/null || die "The image $1 is not there."
}

# Which image a name means is put back with everything else.
note_name() {
    local former
    former=$(d image inspect --format '{{.Id}}' "$1" 2>/dev/null) || return 0
    remember d tag "$former" "$1"
}

load_image() {
    local reference=$1 id=$2 stream=$3 tag
    shift 3
    for tag in "$@"; do
        note_name "$tag"
    done
    if ! d image inspect "${id:-$reference}" >/dev/null 2>&1; then
        borg extract --stdout "$(at "$ARCHIVE")" "pp:${stream#/}" | d load || return 1
    fi
    d image inspect "${id:-$reference}" >/dev/null || return 1
    for tag in "$@"; do
        d tag "${id:-$reference}" "$tag" || return 1
    done
}

pull_image() {
    local reference=$1 id=$2 tag=$3
    note_name "$tag"
    if d image inspect "${id:-$reference}" >/dev/null 2>&1; then
        d tag "${id:-$reference}" "$tag"
    else
        d pull "$reference" && d tag "$reference" "$tag"
    fi
}

create_network() {
    if d network inspect "$2" >/dev/null 2>&1; then
        say "The network $2 is there already."
        return 0
    fi
    remember remove network "$2"
    create "$1"
}

# KIND NAME: an undo; what was never made is gone already.
remove() {
    local words=()
    d "$1" inspect "$2" >/dev/null 2>&1 || return 0
    if [ "$1" = container ]; then
        words=(--force)
        # With what it made for itself without a name; what it has of others stays.
        [ "$(said "$2" '{{len .HostConfig.VolumesFrom}}')" != 0 ] || words+=(--volumes)
    fi
    d "$1" rm "${words[@]}" "$2" >/dev/null
}

create_volume() {
    if d volume inspect "$2" >/dev/null 2>&1; then
        say "The volume $2 is there already."
        return 0
    fi
    remember remove volume "$2"
    create "$1"
}

# NAME FORMAT: what the engine says of a container.
said() {
    d inspect --type container --format "$2" "$1"
}

# An engine leaves alone what was stopped by hand, with these policies.
is_left_alone() {
    case $1 in '' | no | unless-stopped) return 0 ;; esac
    return 1
}

# NAME: its engine does not start it by itself any more; what it was is noted, also for its undo.
calm() {
    local policy
    # shellcheck disable=SC2016  # words for the engine
    policy=$(said "$1" '{{with $one := .HostConfig.RestartPolicy}}{{.Name}}{{if .MaximumRetryCount}}:{{.MaximumRetryCount}}{{end}}{{end}}') || return 1
    remember give_back_policy "$1" "$policy"
    STOPPED_POLICY[$1]=${STOPPED_POLICY[$1]:-$policy}
    is_left_alone "$policy" || d update --restart no "$1" >/dev/null
}

give_back_policy() {
    is_left_alone "$2" || d update --restart "$2" "$1" >/dev/null
}

# NAME SECONDS: without a number it has the time that it asks for itself, or enough for a database.
end_container() {
    local name=$1 seconds=$2
    [ -n "$seconds" ] || seconds=$(said "$name" '{{or .Config.StopTimeout 0}}') || return 1
    [ -n "$2" ] || [ "$seconds" -gt 0 ] || seconds=$STOP_SECONDS
    [ "$(said "$name" '{{.State.Status}}')" != paused ] || d unpause "$name" >/dev/null || return 1
    d stop -t "$seconds" "$name" >/dev/null || return 1
    [ "$(said "$name" '{{.State.ExitCode}}')" != 137 ] ||
        say "$name did not end within $seconds s and was killed: its files may be as after a power cut."
}

# A volume that is mounted only while a container uses it: held by one that does nothing, of an image without a file.
hold_volume() {
    local name=$1 path=$2 one words=() holder="phpborg-${HOLDER#*:}-$1" seen
    for one in /usr /lib /lib32 /lib64 /libx32; do
        [ ! -d "$one" ] || words+=(--mount "type=bind,source=$one,target=$one,readonly")
    done
    # What is there already is not ours to remove: somebody else's, or this script's that runs twice.
    if d container inspect "$holder" >/dev/null 2>&1 || { [ ${#HELD[@]} = 0 ] && d image inspect "$HOLDER" >/dev/null 2>&1; }; then
        printf 'A container %s or an image %s is there already: this script runs, or was ended in the middle. Remove them when it does not run.\n' \
            "$holder" "$HOLDER" >&2
        return 1
    fi
    # One image for all of them: another of its name would leave the first without one.
    if [ ${#HELD[@]} = 0 ]; then
        remember remove image "$HOLDER"
        head -c 1024 /dev/zero | d import - "$HOLDER" >/dev/null || return 1
    fi
    remember remove container "$holder"
    HELD+=("$holder")
    HELD_AT[$path]=$name
    d run --detach --name "$holder" --label "phpborg.docker=${HOLDER#*:}" --network none --read-only --cap-drop ALL \
        --user 65534:65534 --security-opt no-new-privileges --log-driver none --entrypoint /usr/bin/sleep \
        "${words[@]}" --mount "type=volume,source=$name,target=/volume,volume-nocopy" "$HOLDER" 2147483647 >/dev/null || return 1
    # shellcheck disable=SC2016  # words for the engine
    seen=$(d inspect --type container --format '{{range .Mounts}}{{if eq .Destination "/volume"}}{{.Source}}{{end}}{{end}}' "$holder")
    if [ "$seen" != "$path" ]; then
        printf 'The volume %s is mounted at %s and not at %s.\n' "$name" "$seen" "$path" >&2
        return 1
    fi
    if ! is_roots "$path"; then
        printf 'The volume %s belongs to another account: a script cannot keep its content aside safely. Restore it from the pages of phpBorg.\n' "$name" >&2
        return 1
    fi
}

# To put things back the volume has to be there: it is held until the end.
release_volume() {
    say "The volume $1 is let go at the end."
}

stop_container() {
    local state
    state=$(said "$1" '{{.State.Status}}') || return 1
    remember bring_back "$1" "$state"
    calm "$1" || return 1
    end_container "$1" "$2"
}

bring_back() {
    case $2 in
        running | restarting) d start "$1" >/dev/null ;;
        paused) d start "$1" >/dev/null && d pause "$1" >/dev/null ;;
    esac
}

archive_former() {
    local name=$1 path place left=()
    shift
    # What was extracted lies in a volume that is held, and in a mount point: it is not what was there.
    for place in "${STAGINGS[@]}" "${!KEPT_PLACES[@]}"; do
        for path in "$@"; do
            [[ $place != "${path%/}"/* ]] || left+=(--exclude "pp:${place#/}")
        done
    done
    borg create --numeric-ids --stats "${left[@]}" "$(at "$name")" "$@"
}

rename_container() {
    calm "$1" || return 1
    remember rename_back "$2" "$1"
    d rename "$1" "$2" || return 1
    KEPT_CONTAINERS+=("$2")
    # It is the policy of the one that is kept, not of the new one of its name.
    STOPPED_POLICY[$2]=${STOPPED_POLICY[$1]}
    STOPPED_POLICY[$1]=
}

rename_back() {
    ! d container inspect "$1" >/dev/null 2>&1 || d rename "$1" "$2"
}

disconnect() {
    local network=$1 name=$2 asked
    asked=$({
        printf '\n'
        d inspect --type container "$name"
    } | python3 -I -c "$PYTHON_CODE" reconnect "$network") || return 1
    [ -n "$asked" ] || return 0
    remember connect_again "$asked" "$network" "$name"
    d network disconnect --force "$network" "$name"
}

connect_again() {
    local there
    # shellcheck disable=SC2016  # words for the engine
    there=$(d inspect --type container --format '{{range $name, $_ := .NetworkSettings.Networks}}{{println $name}}{{end}}' "$3")
    [[ $'\n'$there$'\n' == *$'\n'"$2"$'\n'* ]] || printf '%s\n' "$1" | post_all
}

create_container() {
    if d container inspect "$2" >/dev/null 2>&1; then
        printf 'There is a container %s already.\n' "$2" >&2
        return 1
    fi
    remember remove container "$2"
    create "$1"
}

start_container() {
    local name=$1 state=$2
    remember stop_again "$name"
    give_back_policy "$name" "${STOPPED_POLICY[$name]:-}" || return 1
    d start "$name" >/dev/null || return 1
    [ "$state" != paused ] || d pause "$name" >/dev/null
}

stop_again() {
    ! d container inspect "$1" >/dev/null 2>&1 || end_container "$1" ''
}

# Running and, where it has a health check, healthy; without one: still the same run after some seconds. One that is
# made to end, by its restart policy, and has ended with 0 is well, too.
healthy() {
    local name=$1 last=$((SECONDS + $2 + STEADY_SECONDS)) first='' since=$SECONDS status run code health policy error
    local form='{{.State.Status}} {{.State.StartedAt}}/{{.RestartCount}} {{.State.ExitCode}}'
    form+=' {{if .State.Health}}{{or .State.Health.Status "none"}}{{else}}none{{end}}'
    form+=' {{or .HostConfig.RestartPolicy.Name "no"}} {{.State.Error}}'
    while true; do
        read -r status run code health policy error < <(said "$name" "$form") || return 1
        [ "$run" = "$first" ] || since=$SECONDS
        first=$run
        case "$status:$health" in
            paused:* | running:healthy) return 0 ;;
            running:none) [ $((SECONDS - since)) -le "$STEADY_SECONDS" ] || return 0 ;;
            running:* | restarting:*) ;;
            *) break ;;
        esac
        [ "$SECONDS" -le "$last" ] || break
        sleep 0.3
    done
    case "$status:$code:$error:$policy" in
        exited:0::no | exited:0::on-failure) return 0 ;;
        running:* | restarting:*) say "$name is not well after $2 s: it is $status, its health check says $health." >&2 ;;
        *) say "$name has ended with exit $code. $error" >&2 ;;
    esac
    return 1
}

# COMMAND…, of others: what was restored is good, and is not taken away because somebody else's container is not well.
or_tell() {
    "$@" || say "This one was only stopped meanwhile, and is not as it was: look after it."
}

# What was replaced goes when everything is back; otherwise the script says where it is.
finish() {
    local place
    for place in "${STAGINGS[@]}"; do
        rm -rf --one-file-system -- "$place"
    done
    for place in "${!KEPT_PLACES[@]}"; do
        if [ "$PROTECT" = none ]; then
            rm -rf --one-file-system -- "$place"
        elif ! rmdir -- "$place" 2>/dev/null; then
            say "Kept: $place${HELD_AT[${place%/*}]:+, inside the volume ${HELD_AT[${place%/*}]}}"
        fi
    done
    for place in "${KEPT_CONTAINERS[@]}"; do
        if [ "$PROTECT" = none ]; then
            d rm "$place" >/dev/null
        else
            say "Kept: container $place, whose restart policy was ${STOPPED_POLICY[$place]:-no}"
        fi
    done
    for place in "${HELD[@]}"; do
        remove container "$place"
    done
    [ ${#HELD[@]} = 0 ] || remove image "$HOLDER"
    say "Everything is back."
}
