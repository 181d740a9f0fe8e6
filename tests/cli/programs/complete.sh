# Loads the completion script of the program $0, and prints its completions of three command lines.
source <("$0" completion bash)
complete -p pacifica-dispatcher-cmd
completed() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _pacifica_dispatcher_cmd_completion "$0"
    echo "${COMPREPLY[@]}"
}
completed pacifica-dispatcher-cmd to
completed pacifica-dispatcher-cmd token re
completed pacifica-dispatcher-cmd up --wo
