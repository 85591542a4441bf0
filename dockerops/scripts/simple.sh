# Nothing is undone by this short script: what was replaced lies where it says. The advanced one undoes.
remember() { :; }

stopped_early() {
    printf '\nStopped before the end. What was replaced is kept: containers as NAME%s, files in directories %s.\n' \
        "${KEPT/kept-/}" "$KEPT" >&2
    [ ${#HELD[@]} = 0 ] || printf 'Volumes are still held: docker rm --force %s\n' "${HELD[*]}" >&2
}
