"""`denoisebench completion`: shell scripts, and the words that they complete."""

from typing import Annotated, Literal

import typer

SCRIPTS = {
    "bash": """\
_denoisebench() {
  local IFS=$'\\n' line="${COMP_LINE:0:$COMP_POINT}"
  COMPREPLY=($(denoisebench completion --query "${line#* }" 2>/dev/null))
  [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} != *[=.] ]] && COMPREPLY=("${COMPREPLY[0]} ")
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o nospace -F _denoisebench denoisebench
""",
    "zsh": """\
_denoisebench() {
  local -a found
  found=("${(@f)$(denoisebench completion --query "${BUFFER#* }" 2>/dev/null)}")
  compadd -S '' -- $found
}
compdef _denoisebench denoisebench
""",
}


def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh"] | None, typer.Argument(metavar="bash|zsh", show_default=False)] = None,
    query: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> int:
    """Print a completion script for the shell.

    \b
    To keep it, put one of these lines into ~/.bashrc or ~/.zshrc:
      eval "$(denoisebench completion bash)"
      eval "$(denoisebench completion zsh)"
    """
    if query is not None:
        from denoisebench.config import complete

        print("\n".join(complete(query, getattr(context.find_root().command, "commands", ()))))
        return 0
    if shell is None:
        raise typer.BadParameter("name a shell: bash or zsh")
    print(SCRIPTS[shell], end="")
    return 0
