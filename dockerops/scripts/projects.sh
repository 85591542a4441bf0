# How a script has Compose bring a project up, and takes back what it made. See common.sh. Before: SOCKET.

compose() {
    if d compose version >/dev/null 2>&1; then
        d compose "$@"
    else
        LC_ALL=C.UTF-8 DOCKER_HOST="unix://$SOCKET" docker-compose "$@"
    fi
}

# KIND PROJECT: ids of its containers or networks.
of_project() {
    local words=(network ls)
    [ "$1" != container ] || words=(ps --all)
    d "${words[@]}" --no-trunc --quiet --filter "label=com.docker.compose.project=$2"
}

# ID: does it run, rest, or come back by itself?
is_active() {
    case $(said "$1" '{{.State.Status}}') in running | paused | restarting) return 0 ;; esac
    return 1
}

# PROJECT SECONDS DIRECTORY FILES… -- ENVIRONMENT FILES…: what is there is not made anew, and each has time to be well.
compose_up() {
    local project=$1 seconds=$2 words=(--project-name "$1" --project-directory "$3") option=--file word
    local there networks ids id name
    shift 3
    for word in "$@"; do
        if [ "$word" = -- ]; then
            option=--env-file
        else
            words+=("$option" "$word")
        fi
    done
    there=$(states_of "$project") || return 1
    networks=$(of_project network "$project") || return 1
    remember compose_back "$project" "$there" "$networks"
    compose "${words[@]}" up --detach --no-recreate || return 1
    ids=$(of_project container "$project") || return 1
    for id in $ids; do
        # One that was there and stays stopped is of no service that Compose was to start.
        if [[ $there != *"$id "* ]] || is_active "$id"; then
            name=$(said "$id" '{{.Name}}') && healthy "${name#/}" "$seconds" || return 1
        fi
    done
}

# A line for each: id, and whether it is active.
states_of() {
    local id ids
    ids=$(of_project container "$1") || return 1
    for id in $ids; do
        printf '%s %s\n' "$id" "$(is_active "$id" && printf active)"
    done
}

# PROJECT STATES NETWORKS: only what was made since is removed; the rest is as it was.
compose_back() {
    local id ids failed=0
    ids=$(of_project container "$1") || return 1
    for id in $ids; do
        [[ $2 == *"$id active"* ]] || ! is_active "$id" || end_container "$id" '' || failed=1
        [[ $2 == *"$id "* ]] || remove container "$id" || failed=1
    done
    ids=$(of_project network "$1") || return 1
    for id in $ids; do
        [[ $3 == *"$id"* ]] || remove network "$id" || failed=1
    done
    return "$failed"
}
