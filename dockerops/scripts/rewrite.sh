# How a script makes extracted Compose files fit. See common.sh. Before: PLAN, PYTHON_EDITS, STAGING, PLACES.

# NUMBER STAGES…: the edits of this step, each file at once, before anything is replaced. They go with the directories.
rewrite_files() {
    local number=$1 stage
    shift
    for stage in "$@"; do
        check_place "${PLACES[$stage]}" || return 1
        printf '%s' "$PLAN" | python3 -I -c "$PYTHON_EDITS" "$number" "$stage" "${PLACES[$stage]}/$STAGING" || return 1
    done
}
