"""Completion scripts for bash and zsh, made from the tree of commands.

Words, options and choices are written into the script: to complete them no Python is started.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import click


class Node(NamedTuple):
    """A command at its place in the tree; `path` is what is typed: `rdctl rapiddisk list`."""

    path: str
    command: click.Command
    context: click.Context

    @property
    def summary(self) -> str:
        """The first line of its help."""
        return (self.command.help or "").partition("\n")[0]

    @property
    def children(self) -> list[Node]:
        """The nouns and verbs that may follow."""
        group = self.command
        if not isinstance(group, click.Group):
            return []
        names = group.list_commands(self.context)
        return [_node(group.get_command(self.context, name), self) for name in names]

    @property
    def options(self) -> list[click.Option]:
        """Its own, which its help shows; of the root, also those that stand anywhere."""
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Option) and not param.hidden]

    @property
    def arguments(self) -> list[click.Argument]:
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Argument)]


def _node(command: click.Command | None, above: Node | None) -> Node:
    assert command is not None
    name = str(command.name)
    parent = above.context if above else None
    context = click.Context(command, parent, name, **command.context_settings)
    return Node(f"{above.path} {name}" if above else name, command, context)


def walk(root: click.Command) -> list[Node]:
    """Every noun and verb, from the root down."""
    return list(_walk(_node(root, None)))


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _walk(child)


def choices(param: click.Parameter) -> list[str]:
    """The words that a value is one of; none when it is not one of a few."""
    return [str(choice) for choice in getattr(param.type, "choices", ())]


def label(param: click.Parameter) -> str:
    """What a value is called: `SIZE`."""
    by_type = isinstance(param, click.Option) and not choices(param)
    name = param.type.name if by_type else str(param.name).removeprefix("global_")
    return param.metavar or name.upper()


def parted(root: click.Command) -> tuple[list[click.Option], dict[Node, list[click.Option]]]:
    """The options that stand anywhere, and the nodes, each with the other options of its own."""
    top, *rest = walk(root)
    below = {option.name for option in rest[0].command.get_params(rest[0].context)}
    anywhere = [option for option in top.options if option.name in below]
    names = {option.name for option in anywhere}
    nodes = {node: [o for o in node.options if o.name not in names] for node in (top, *rest)}
    return anywhere, nodes


# --- bash -------------------------------------------------------------------------------------


def bash(root: click.Command) -> str:
    """The script for bash; it needs nothing of bash-completion."""
    anywhere, nodes = parted(root)
    values = [line for node, options in nodes.items() for line in _bash_values(node, options)]
    values += [
        _bash_case(" | ".join(f"*' {spelling}'" for spelling in option.opts), choices=words)
        for option in anywhere
        if (words := choices(option))
    ]
    return _BASH.format(
        options=" ".join(_spellings(anywhere)),
        valued=" ".join(_spellings(anywhere, valued=True)),
        nodes="\n".join(filter(None, (_bash_node(*entry) for entry in nodes.items()))),
        values="\n".join(values),
    )


def _bash_node(node: Node, options: list[click.Option]) -> str:
    return _bash_case(
        f"'{node.path}'",
        verbs=[str(child.command.name) for child in node.children],
        options=_spellings(options),
        valued=_spellings(options, valued=True),
    )


def _bash_values(node: Node, options: list[click.Option]) -> Iterator[str]:
    """The choices of its own options and arguments, by 'path --option' or 'path 1'."""
    for option in options:
        if words := choices(option):
            keys = (f"'{node.path} {spelling}'" for spelling in option.opts)
            yield _bash_case(" | ".join(keys), choices=words)
    for number, argument in enumerate(node.arguments, 1):
        if words := choices(argument):
            yield _bash_case(f"'{node.path} {number}'", choices=words)


def _bash_case(pattern: str, **words: list[str]) -> str:
    assignments = [f"{name}='{' '.join(given)}'" for name, given in words.items() if given]
    return f"        {pattern}) {' '.join(assignments)} ;;" if assignments else ""


def _spellings(options: list[click.Option], valued: bool = False) -> list[str]:
    """All spellings of options; of those only that take a value."""
    return [word for o in options if not (valued and o.is_flag) for word in o.opts]


_BASH = r"""# bash completion of rdctl, made by: rdctl completion bash

# What belongs to one place in the tree: its verbs, its own options, those that take a value.
_rdctl_node() {{
    verbs='' options='' valued=''
    case $1 in
{nodes}
    esac
    options+=' {options}'
    valued+=' {valued}'
}}

# The words for a value: of an option, or of an argument by its number.
_rdctl_values() {{
    choices=''
    case $1 in
{values}
    esac
}}

_rdctl() {{
    local IFS=$' \t\n' path=rdctl option='' ended='' prefix='' number=1
    local verbs options valued choices word current offer line=${{COMP_LINE:0:COMP_POINT}}
    local -a typed=()

    # bash parts words at : and = too; what stands without a blank between is one word again.
    for word in "${{COMP_WORDS[@]:0:COMP_CWORD+1}}"; do
        if [[ ${{#typed[@]}} -eq 0 || $line == [[:space:]]* ]]; then
            typed+=("$word")
        else
            typed[-1]+=$word
        fi
        line=${{line#"${{line%%[![:space:]]*}}"}}
        line=${{line#"$word"}}
    done
    current=${{typed[-1]}}

    _rdctl_node "$path"
    for word in "${{typed[@]:1:${{#typed[@]}}-2}}"; do
        if [[ $option ]]; then
            option=''
        elif [[ ! $ended && $word == -- ]]; then
            ended=1
        elif [[ ! $ended && " $valued " == *" $word "* ]]; then
            option=$word
        elif [[ ! $ended && $word == -?* ]]; then
            continue
        elif [[ " $verbs " == *" $word "* ]]; then
            path+=" $word" ended=''
            _rdctl_node "$path"
        else
            number=$((number + 1))
        fi
    done

    if [[ ! $option && ! $ended && $current == --*=* ]]; then
        option=${{current%%=*}} current=${{current#*=}}
        # Where = does not part words, the whole word is replaced.
        [[ $COMP_WORDBREAKS == *=* ]] || prefix=$option=
    fi
    if [[ $option ]]; then
        _rdctl_values "$path $option"
        offer=$choices
    elif [[ ! $ended && $current == -* ]]; then
        offer=$options
    elif [[ $verbs ]]; then
        offer=$verbs
    else
        _rdctl_values "$path $number"
        offer=$choices
    fi
    mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$offer" -- "$current")
}}

complete -F _rdctl rdctl
"""


# --- zsh --------------------------------------------------------------------------------------


def zsh(root: click.Command) -> str:
    """The script for zsh: the file `_rdctl` on its fpath, or sourced."""
    anywhere, nodes = parted(root)
    return _ZSH.format(
        anywhere="\n".join(f"    {spec}" for option in anywhere for spec in _option_specs(option)),
        functions="\n\n".join(_zsh_function(*entry) for entry in nodes.items()),
    )


def _zsh_function(node: Node, options: list[click.Option]) -> str:
    """A function a command: `_rdctl_rapiddisk_list`."""
    specs = [spec for option in options for spec in _option_specs(option)]
    name = "_" + node.path.replace(" ", "_")
    if node.children:
        verbs = [_quoted(f"{child.command.name}:{child.summary}") for child in node.children]
        words = [f"_rdctl_noun {name}", *verbs, *(["--", *specs] if specs else [])]
    else:
        specs += [_argument_spec(number, arg) for number, arg in enumerate(node.arguments, 1)]
        words = ["_rdctl_verb", *specs]
    return f"{name}() {{\n    " + " \\\n        ".join(words) + "\n}"


def _option_specs(option: click.Option) -> Iterator[str]:
    """What `_arguments` is told of an option, once for each spelling; they exclude each other."""
    excluded = f"({' '.join(option.opts)})" if len(option.opts) > 1 else ""
    for spelling in option.opts:
        spec = f"{excluded}{spelling}"
        if not option.is_flag:
            spec += "=" if spelling.startswith("--") else "+"
        spec += f"[{_escaped(option.help or '', '[]')}]"
        yield _quoted(spec if option.is_flag else spec + _value_spec(option))


def _argument_spec(number: int, argument: click.Argument) -> str:
    place = "*" if argument.nargs == -1 else str(number)
    return _quoted(place + _value_spec(argument))


def _value_spec(param: click.Parameter) -> str:
    words = choices(param)
    name = _escaped(label(param), ":")
    return f":{name}:({' '.join(words)})" if words else f":{name}: _rdctl_value"


def _escaped(text: str, special: str) -> str:
    for char in "\\" + special:
        text = text.replace(char, "\\" + char)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


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
    local -a line verbs=("${{@[2,end-1]}}") own=("${{@[end+1,-1]}}")
    local -A opt_args
    _arguments -C -s -S $own $_rdctl_anywhere '1: :->verb' '*:: :->rest' && ret=0
    case $state in
        (verb) _describe -t commands command verbs && ret=0 ;;
        (rest) (( $+functions[${{name}}_$words[1]] )) && ${{name}}_$words[1] && ret=0 ;;
    esac
    return ret
}}

# A value that is none of a few: its name is told, unless an option is being typed.
_rdctl_value() {{
    [[ $PREFIX == -* ]] || _message -e values "$descr"
}}

# A verb: its own options and its arguments.
_rdctl_verb() {{
    _arguments -s -S "$@" $_rdctl_anywhere
}}

{functions}

if [[ $funcstack[1] == _rdctl ]]; then
    _rdctl "$@"
else
    compdef _rdctl rdctl
fi
"""
