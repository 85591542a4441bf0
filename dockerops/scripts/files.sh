# How a script puts files in place, and back, below directories that may be another account's. See common.sh.
# Before: STAGING, KEPT, ARCHIVE, PLACES, STAGINGS, KEPT_PLACES, MADE.

# A directory by its own parts, in a subshell: what is missing is made, and a link on the way is refused. From then on
# it is `.`: whoever owns one above can no longer put another in its place.
enter() {
    local rest=${1#/}/ part at=''
    cd / || return 1
    while [ -n "$rest" ]; do
        part=${rest%%/*}
        rest=${rest#*/}
        [ -n "$part" ] || continue
        at+=/$part
        [ -e "./$part" ] || [ -L "./$part" ] || mkdir -- "./$part" || return 1
        if ! cd -P -- "./$part" || [ "$(env pwd -P && printf x)" != "$at"$'\nx' ]; then
            printf 'A link lies on the way to %s.\n' "$1" >&2
            return 1
        fi
    done
}

# A directory in which nobody but root can put one thing in the place of another: so are all that lie above.
is_roots() {
    local path=$1 owner mode kind
    while true; do
        read -r owner mode kind < <(stat --format '%u %a %F' -- "${path:-/}") || return 1
        if [ "$owner" != 0 ] || [ "$kind" != directory ] || (((8#$mode & 8#22) != 0 && (8#$mode & 8#1000) == 0)); then
            return 1
        fi
        [ -n "$path" ] || return 0
        path=${path%/*}
    done
}

device_of() {
    stat --format %d -- "${1:-/}"
}

# The place of a directory's private directories: itself or the nearest above it, on the same filesystem, that is
# root's alone. Another account that could swap them would have root move what it likes.
settle() {
    local path=${1%/} device
    device=$(device_of "$path") || return 1
    until is_roots "$path"; do
        [ -n "$path" ] || die "The directory / is not root's alone."
        path=${path%/*}
        if [ "$(device_of "$path")" != "$device" ]; then
            die "$1 belongs to another account, and no directory above it on this filesystem is root's alone: restore to another path."
        fi
    done
    PLACES[$1]=$path
    [ -z "${KEPT_PLACES[$path/$KEPT]:-}" ] || return 0
    if [ -e "$path/$KEPT" ] || [ -L "$path/$KEPT" ]; then
        die "$path/$KEPT is there already: this plan was carried out before. Make a new one."
    fi
    rm -rf --one-file-system -- "$path/${STAGING:?}"
    remember rm -rf --one-file-system -- "$path/${STAGING:?}"
    remember remove_empty "$path/$KEPT"
    mkdir -m 700 -- "$path/$STAGING" "$path/$KEPT" || return 1
    MADE[$path/$STAGING]=$(stat --format %d:%i -- "$path/$STAGING") || return 1
    MADE[$path/$KEPT]=$(stat --format %d:%i -- "$path/$KEPT") || return 1
    STAGINGS+=("$path/$STAGING")
    KEPT_PLACES[$path/$KEPT]=1
}

# Are the private directories of this place still those that `settle` made?
check_place() {
    local one
    for one in "$1/$STAGING" "$1/$KEPT"; do
        if [ "$(stat --format '%u %a %F' -- "$one")" != '0 700 directory' ]; then
            printf '%s is not as it was made: somebody changed it.\n' "$one" >&2
            return 1
        fi
    done
}

# Containers give all that they find in their volume to their own account, these directories too when they lie in it. To
# undo, root takes them back: the same ones that `settle` made, and no others.
take_back() {
    local one
    for one in "$1/$STAGING" "$1/$KEPT"; do
        [ ! -d "$one" ] || (
            cd -P -- "$one" && [ "$(stat --format %d:%i -- .)" = "${MADE[$one]}" ] || exit 0
            [ "$(stat --format '%u %a' -- .)" = '0 700' ] || { chown 0:0 -- . && chmod 700 -- .; }
        ) || return 1
    done
    check_place "$1"
}

# Which entry it is, and whose.
owner_of() {
    { [ ! -e "$1" ] && [ ! -L "$1" ]; } || stat --format '%d:%i %u:%g' -- "$1"
}

# KEPT FORMER: what is kept is again its former owner's, as `owner_of` said it, before it goes back.
give_back_owner() {
    local now
    now=$(owner_of "$1") || return 1
    [ "$now" = "$2" ] || [ "${now% *}" != "${2% *}" ] || chown --no-dereference "${2#* }" -- "$1"
}

# Everything of this restore in one directory is extracted beside it first: nothing is replaced yet. All that the
# archive has of it has to arrive: a warning of borg's is about something that would not be as it was.
extract() {
    local directory=$1 source staging expected arrived wanted=() places=() status=0
    shift
    for source in "$@"; do
        wanted+=("pp:${source#/}")
        places+=("./${source#/}")
    done
    expected=$(borg list --format x "$(at "$ARCHIVE")" "${wanted[@]}" | wc -c) || return 1
    (enter "$directory") || return 1
    settle "$directory" || return 1
    staging=${PLACES[$directory]}/$STAGING
    (enter "$staging" && borg extract --progress --numeric-ids --sparse "$(at "$ARCHIVE")" "${wanted[@]}") || status=$?
    for source in "$@"; do
        if [ ! -e "$staging/${source#/}" ] && [ ! -L "$staging/${source#/}" ]; then
            printf 'Not in the archive: %s\n' "$source" >&2
            return 1
        fi
    done
    arrived=$(enter "$staging" && find "${places[@]}" -printf x | wc -c) || return 1
    if [ "$status" != 0 ] || [ "$arrived" != "$expected" ]; then
        printf 'Not everything arrived below %s: %s of %s entries; borg ended with %s.\n' \
            "$directory" "$arrived" "$expected" "$status" >&2
        return 1
    fi
}

# TARGET STAGE SOURCE: the entry itself is exchanged by a rename; what was there is kept.
exchange_whole() {
    exchange_entry "$1" "${PLACES[$2]}" "${3#/}"
}

remove_empty() {
    [ ! -d "$1" ] || rmdir --ignore-fail-on-non-empty -- "$1"
}

# TARGET PLACE ENTRY: in the target's own directory, not by its path.
exchange_entry() {
    local target=$1 staged="$2/$STAGING/$3" kept="$2/$KEPT/$3" former
    check_place "$2" || return 1
    if [ -e "$kept" ] || [ -L "$kept" ]; then
        printf '%s is there already.\n' "$kept" >&2
        return 1
    fi
    former=$(enter "${target%/*}" && owner_of "./${target##*/}") || return 1
    remember exchange_back "$target" "$2" "$3" "$former"
    (
        enter "${target%/*}" || exit 1
        name=./${target##*/}
        if [ -e "$name" ] || [ -L "$name" ]; then
            mkdir -p -- "${kept%/*}" && mv -T -- "$name" "$kept" || exit 1
        fi
        mv -T -- "$staged" "$name"
    )
}

exchange_back() {
    local target=$1 staged="$2/$STAGING/$3" kept="$2/$KEPT/$3" former=$4
    take_back "$2" || return 1
    (
        enter "${target%/*}" || exit 1
        name=./${target##*/}
        if [ ! -e "$staged" ] && [ ! -L "$staged" ] && { [ -e "$name" ] || [ -L "$name" ]; }; then
            mv -T -- "$name" "$staged" || exit 1
        fi
        if [ -e "$kept" ] || [ -L "$kept" ]; then
            give_back_owner "$kept" "$former" && mv -T -- "$kept" "$name" || exit 1
        fi
    ) && remove_empties "$2/$KEPT" "$3"
}

# PLACE ENTRY: the directories of an entry that is gone, up to the place.
remove_empties() {
    local below=${2%/*}
    while [ "$below" != "$2" ] && [ -d "$1/$below" ]; do
        remove_empty "$1/$below"
        set -- "$1" "$below"
        below=${below%/*}
    done
}

# The same for single entries: all others stay.
exchange_items() {
    local target=$1 place=${PLACES[$2]} source=${3#/} item
    shift 3
    for item in "$@"; do
        exchange_merged "$target/$item" "$place" "$source/$item" || return 1
    done
}

# A folder that is on both sides is gone through: what only the server has in it stays.
exchange_merged() {
    local target=$1 place=$2 staged="$2/$STAGING/$3" one
    if [ ! -d "$staged" ] || [ -L "$staged" ] || [ ! -d "$target" ] || [ -L "$target" ]; then
        exchange_entry "$target" "$place" "$3"
        return
    fi
    for one in "$staged"/* "$staged"/.[!.]* "$staged"/..?*; do
        if [ -e "$one" ] || [ -L "$one" ]; then
            exchange_merged "$target/${one##*/}" "$place" "$3/${one##*/}" || return 1
        fi
    done
}

# The target is a mount point, and root's alone (`settle`): its entries are exchanged one by one.
exchange_entries() {
    local target=$1 place=${PLACES[$2]} source=${3#/} entry name
    local staged="$place/$STAGING/$source" kept="$place/$KEPT/$source"
    check_place "$place" || return 1
    is_roots "${target%/}" || die "$target belongs to another account: restore to another path."
    remember remove_empties "$place/$KEPT" "$source/x"
    mkdir -p -- "$kept"
    for entry in "$target"/* "$target"/.[!.]* "$target"/..?*; do
        name=${entry##*/}
        if [ "$name" = "$STAGING" ] || [ "$name" = "$KEPT" ] || { [ ! -e "$entry" ] && [ ! -L "$entry" ]; }; then
            continue
        fi
        # An own directory of a filesystem stays where it is.
        [ "$name" != lost+found ] || [ -e "$staged/$name" ] || continue
        remember move_back "$kept/$name" "$entry" "$place" "$(owner_of "$entry")"
        mv -T -- "$entry" "$kept/$name" || return 1
    done
    for entry in "$staged"/* "$staged"/.[!.]* "$staged"/..?*; do
        if [ -e "$entry" ] || [ -L "$entry" ]; then
            remember move_back "$target/${entry##*/}" "$entry" "$place" ''
            mv -T -- "$entry" "$target/${entry##*/}" || return 1
        fi
    done
    remember dress "$target" "$(stat --format '%u:%g 00%a' -- "$target")"
    chown --reference="$staged" -- "$target" && chmod --reference="$staged" -- "$target"
    touch --reference="$staged" -- "$target"
}

dress() {
    chown "${2% *}" -- "$1" && chmod "${2#* }" -- "$1"
}

move_back() {
    take_back "$3" || return 1
    { [ ! -e "$1" ] && [ ! -L "$1" ]; } || [ -e "$2" ] || [ -L "$2" ] || {
        { [ -z "$4" ] || give_back_owner "$1" "$4"; } && mv -T -- "$1" "$2"
    }
}
