usage() {
    say "Usage: $0 [--dry-run] [--yes] [--log FILE]"
    say "  --dry-run   print every step, and change nothing"
    say "  --yes       do not ask before the first change"
    say "  --log FILE  also write what happens to FILE (it holds no secret)"
}

read_options() {
    while [ $# -gt 0 ]; do
        case $1 in
            --dry-run) DRY_RUN=yes ;;
            --yes) AGREED=yes ;;
            --log)
                [ $# -gt 1 ] || die "--log needs a file."
                LOG=$2
                shift
                ;;
            --help)
                usage
                exit 0
                ;;
            *)
                usage >&2
                exit 2
                ;;
        esac
        shift
    done
}

log() {
    say "$*"
    [ -z "$LOG" ] || printf '%s %s\n' "$(date -u +%FT%TZ)" "$*" >>"$LOG"
}

# An undo is written down before its change, word by word, and carried out in reverse.
remember() {
    UNDO+=("$(printf '%q ' "$@")")
}

undo_all() {
    local number failed=0
    for ((number = ${#UNDO[@]} - 1; number >= 0; number--)); do
        log "Undo: ${UNDO[number]}"
        eval "${UNDO[number]}" || failed=1
    done
    UNDO=()
    if [ "$failed" = 0 ]; then
        log "Everything is as it was."
    else
        log "Not everything could be undone: read above."
    fi
}

# However the script ends: before the last step, everything is undone.
ended() {
    local status=$?
    trap - EXIT INT TERM HUP
    set +e
    if [ "$FINISHED" != yes ] && [ "$DRY_RUN" != yes ] && [ ${#UNDO[@]} -gt 0 ]; then
        [ "$status" != 0 ] || status=1
        log "The restore failed at step $STEP (status $status)."
        undo_all
    fi
    exit "$status"
}

interrupted() {
    log "Told to stop."
    exit 130
}

agree() {
    local answer
    [ "$AGREED" != yes ] || return 0
    read -r -p "Carry out these steps on this server? [yes/no] " answer
    [ "$answer" = yes ] || die "Nothing was changed."
}

# NUMBER SENTENCE COMMAND…
step() {
    STEP=$1
    log "$1. $2"
    shift 2
    if [ "$DRY_RUN" = yes ]; then
        printf '   '
        printf ' %q' "$@"
        printf '\n'
        return 0
    fi
    "$@"
}
