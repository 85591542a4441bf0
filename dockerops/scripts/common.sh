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

# Bodies of containers hold secrets: they are kept in a variable, and go from pipe to pipe.
read_manifest() {
    local seen
    MANIFEST=$(borg extract --stdout "::$ARCHIVE" "pp:${MANIFEST_PATH#/}" && printf x) ||
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
        borg extract --stdout "::$ARCHIVE" "pp:${stream#/}" | d load || return 1
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
    [ "$1" != container ] || words=(--force)
    ! d "$1" inspect "$2" >/dev/null 2>&1 || d "$1" rm "${words[@]}" "$2" >/dev/null
}

create_volume() {
    if d volume inspect "$2" >/dev/null 2>&1; then
        say "The volume $2 is there already."
        return 0
    fi
    remember remove volume "$2"
    create "$1"
}

# A volume that is mounted only while a container uses it: held by one that does nothing, of an image without a file.
hold_volume() {
    local name=$1 path=$2 one words=() holder="phpborg-${HOLDER#*:}-$1" seen
    for one in /usr /lib /lib32 /lib64 /libx32; do
        [ ! -d "$one" ] || words+=(--mount "type=bind,source=$one,target=$one,readonly")
    done
    remember remove image "$HOLDER"
    remember remove container "$holder"
    head -c 1024 /dev/zero | d import - "$HOLDER" >/dev/null || return 1
    HELD+=("$holder")
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
    local name=$1 state policy seconds=()
    state=$(d inspect --type container --format '{{.State.Status}}' "$name") || return 1
    policy=$(d inspect --type container --format '{{.HostConfig.RestartPolicy.Name}}' "$name") || return 1
    [ -z "$2" ] || seconds=(--time "$2")
    remember bring_back "$name" "$state" "$policy"
    [ "$policy" != always ] || d update --restart no "$name" >/dev/null || return 1
    [ "$state" != paused ] || d unpause "$name" >/dev/null || return 1
    d stop "${seconds[@]}" "$name" >/dev/null || return 1
    STOPPED_POLICY[$name]=$policy
}

bring_back() {
    [ "$3" != always ] || d update --restart always "$1" >/dev/null || return 1
    case $2 in
        running | restarting) d start "$1" >/dev/null ;;
        paused) d start "$1" >/dev/null && d pause "$1" >/dev/null ;;
    esac
}

archive_former() {
    local name=$1
    shift
    borg create --numeric-ids --stats "::$name" "$@"
}

rename_container() {
    remember rename_back "$2" "$1"
    d rename "$1" "$2"
    KEPT_CONTAINERS+=("$2")
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
    remember d stop "$name"
    [ "${STOPPED_POLICY[$name]:-}" != always ] || d update --restart always "$name" >/dev/null || return 1
    d start "$name" >/dev/null || return 1
    [ "$state" != paused ] || d pause "$name" >/dev/null
}

# Running and, where it has a health check, healthy; without one: still the same run after three seconds.
healthy() {
    local name=$1 last=$((SECONDS + $2)) seen health first='' since=$SECONDS
    while [ "$SECONDS" -le "$last" ]; do
        seen=$(d inspect --type container --format '{{.State.Status}} {{.State.StartedAt}}' "$name") || return 1
        health=$(d inspect --type container --format '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$name") || return 1
        [ "$seen" = "$first" ] || since=$SECONDS
        first=$seen
        case "$seen:$health" in
            running*:healthy) return 0 ;;
            running*:) [ $((SECONDS - since)) -lt 4 ] || return 0 ;;
            exited* | dead*) break ;;
        esac
        sleep 0.5
    done
    printf '%s is not healthy after %s s.\n' "$name" "$2" >&2
    return 1
}

compose() {
    if d compose version >/dev/null 2>&1; then
        d compose "$@"
    else
        LC_ALL=C.UTF-8 DOCKER_HOST="unix://$SOCKET" docker-compose "$@"
    fi
}

# PROJECT DIRECTORY FILES… -- ENVIRONMENT FILES…
compose_up() {
    local project=$1 directory=$2 words=() option=--file word
    shift 2
    for word in "$@"; do
        if [ "$word" = -- ]; then
            option=--env-file
        else
            words+=("$option" "$word")
        fi
    done
    remember compose --project-name "$project" --project-directory "$directory" "${words[@]}" down
    compose --project-name "$project" --project-directory "$directory" "${words[@]}" up --detach --no-recreate
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
            say "Kept: $place"
        fi
    done
    for place in "${KEPT_CONTAINERS[@]}"; do
        if [ "$PROTECT" = none ]; then
            d rm "$place" >/dev/null
        else
            say "Kept: container $place"
        fi
    done
    for place in "${HELD[@]}"; do
        remove container "$place"
    done
    [ ${#HELD[@]} = 0 ] || remove image "$HOLDER"
    say "Everything is back."
}
