"""The completion script for zsh; what stands in it and what is asked for is as for bash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from rdctl.completion.nodes import Node, Slot, label, may_lack_value, parted, slots


def zsh_script(root: click.Command) -> str:
    """The script for zsh: the file `_rdctl` on its fpath, or sourced."""
    anywhere, nodes = parted(root)
    specs = [spec for option in anywhere for spec in _option_specs("", option)]
    return _ZSH.format(
        anywhere="\n".join(f"    {spec}" for spec in specs),
        functions="\n\n".join(_zsh_function(*entry) for entry in nodes.items()),
    )


def _zsh_function(node: Node, options: list[click.Option]) -> str:
    """A function a command: `_rdctl_rapiddisk_list`."""
    specs = [spec for option in options for spec in _option_specs(node.path, option)]
    name = "_" + node.path.replace(" ", "_")
    lines = "" if node.path != "rdctl" else _ZSH_BEGIN
    if node.children:
        verbs = [_quoted(f"{child.command.name}:{child.summary}") for child in node.children]
        words = [f"_rdctl_noun {name}", *verbs, *(["--", *specs] if specs else [])]
    else:
        lines = f"    local -a _rdctl_keys=({' '.join(node.keys)})\n"
        numbered = enumerate(node.arguments, 1)
        specs += [_argument_spec(node.path, number, argument) for number, argument in numbered]
        words = ["_rdctl_verb", *specs]
    return f"{name}() {{\n{lines}    " + " \\\n        ".join(words) + "\n}"


def _option_specs(path: str, option: click.Option) -> Iterator[str]:
    """What `_arguments` takes of an option, once for each spelling; they exclude each other,
    unless it may stand several times."""
    excluded = f"({' '.join(option.opts)})" if len(option.opts) > 1 else ""
    for spelling in option.opts:
        spec = f"{'*' if option.multiple else excluded}{spelling}"
        long = spelling.startswith("--")
        alone = not option.is_flag and may_lack_value(option)
        if not option.is_flag:
            spec += ("=-" if alone else "=") if long else ("-" if alone else "+")
        spec += f"[{_escaped(option.help or '', '[]')}]"
        if not option.is_flag:
            action = _action(slots(path, option), "_rdctl_option")
            spec += f"{'::' if alone else ':'}{_escaped(label(option), ':')}:{action}"
        yield _quoted(spec)


def _argument_spec(path: str, number: int, argument: click.Argument) -> str:
    place = "*" if argument.nargs == -1 else str(number)
    action = _action(slots(path, argument), "_rdctl_argument")
    return _quoted(f"{place}:{_escaped(label(argument), ':')}:{action}")


def _action(values: Sequence[Slot], call: str) -> str:
    """What `_arguments` does for the values: a list of words, or a call."""
    first = values[0]
    if len(values) == 1 and first.words:
        # What is assigned follows.
        follows = any(word.endswith("=") for word in first.words)
        return (" compadd -S '' - {}" if follows else "({})").format(" ".join(first.words))
    if not any(value.kind for value in values):
        return " _rdctl_nothing"
    kinds = [_escaped(value.kind, ":") or "-" for value in values]
    more = len(kinds) > 1 and values[-1].repeated
    return " ".join(["", call, *kinds, *(["..."] if more else [])])


def _escaped(text: str, special: str) -> str:
    for char in "\\" + special:
        text = text.replace(char, "\\" + char)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_ZSH_BEGIN = r"""    # What is before this word; what is behind it does not matter.
    local -a _rdctl_typed=("${(@Q)words[2,CURRENT-1]}")
    words=("${(@)words[1,CURRENT]}")
"""

_ZSH = r"""#compdef rdctl
# zsh completion of rdctl, made by: rdctl completion zsh

# The options that stand anywhere.
typeset -ga _rdctl_anywhere=(
{anywhere}
)

# A noun: its verbs, then whatever belongs to the verb that was typed.
# Takes the name of its function, each verb as word:meaning, then -- and its own options.
_rdctl_noun() {{
    local name=$1 curcontext=$curcontext state state_descr ret=1 end=${{@[(i)--]}}
    local -a line _rdctl_keys verbs=("${{@[2,end-1]}}") own=("${{@[end+1,-1]}}")
    local -A opt_args
    _arguments -C -s -S -A '-*' $own $_rdctl_anywhere '1: :->verb' '*:: :->rest' && ret=0
    case $state in
        (verb) _describe -t commands command verbs && ret=0 ;;
        (rest) (( $+functions[${{name}}_$words[1]] )) && ${{name}}_$words[1] && ret=0 ;;
    esac
    return ret
}}

# A verb: its own options and its arguments.
_rdctl_verb() {{
    local -a line
    local -A opt_args
    _arguments -s -S "$@" $_rdctl_anywhere
}}

# A value that nothing completes: its name is told, unless an option is being typed.
_rdctl_nothing() {{
    [[ $PREFIX == -* ]] || _message -e values "$descr"
}}

# An argument: of one kind, or of several kinds by place, with ... for any number of the last.
_rdctl_argument() {{
    local -i place=$#line
    local -a args=("${{(@Q)line[1,-2]}}")
    if [[ $PREFIX == -* ]] && (( ! $_rdctl_typed[(I)--] )); then
        return 1
    fi
    if (( $# > 1 )); then
        # An id stands in place of a container, or of a path.
        (( ! $_rdctl_typed[(I)--cid(|=*)] )) || (( place++ ))
        (( place == 1 || ! $_rdctl_typed[(I)--content-id(|=*)] )) || (( place++ ))
        if [[ ${{@[-1]}} == ... ]] && (( place >= $# )); then
            place=$(($# - 1))
        fi
        set -- "${{@[place]}}"
    fi
    _rdctl_names "$1"
}}

# The value of an option.
_rdctl_option() {{
    local -a args=("${{(@Q)line}}")
    _rdctl_names "$1"
}}

# Names of a kind: live ones, which know what was typed before, files, keys of what is shown.
_rdctl_names() {{
    local text=${{(Q)PREFIX}} row name
    local -a found ending
    case $1 in
        (file) _files; return ;;
        (keys) (( $#_rdctl_keys )) && _values -s , key $_rdctl_keys; return ;;
        (sort-key) compset -P -; (( $#_rdctl_keys )) && compadd -- $_rdctl_keys; return ;;
        (contexts) compset -P '*,' ;;
        (assignment:*) ending=(-S '') ;;
        (|-|...) return 1 ;;
    esac
    [[ $compstate[quote] != \' ]] || text=$PREFIX
    for row in "${{(@f)$(command rdctl __complete zsh "$1" '' '' "$text" $#args "${{args[@]}}" \
            "${{_rdctl_typed[@]}}" < /dev/null 2> /dev/null)}}"; do
        name=${{row%%$'\t'*}}
        # A backslash keeps a colon in the name.
        [[ -z $name ]] || found+=("${{${{name//\\/\\\\}}//:/\\:}}:${{row#*$'\t'}}")
    done
    (( $#found )) && _describe -t names "$descr" found "${{ending[@]}}"
}}

{functions}

if [[ $funcstack[1] == _rdctl ]]; then
    _rdctl "$@"
else
    compdef _rdctl rdctl
fi
"""
