"""Completion scripts for bash and zsh, made from the tree of commands.

Words, options and choices are written into the script: to complete them no Python is started. Live
names are asked for with `rdctl __complete` (see `names`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import click

from rdctl.completion.kinds import value_of


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
        found = (group.get_command(self.context, name) for name in names)
        return [_node(command, self) for command in found if command is not None]

    @property
    def options(self) -> list[click.Option]:
        """Its own, which its help shows; of the root, also those that stand anywhere."""
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Option) and not param.hidden]

    @property
    def arguments(self) -> list[click.Argument]:
        params = self.command.get_params(self.context)
        return [param for param in params if isinstance(param, click.Argument)]

    @property
    def keys(self) -> list[str]:
        """The keys of what it lists or shows, or reports."""
        from rdctl.output.schemas import CHANGE, SCHEMAS

        if isinstance(self.command, click.Group):
            return []
        shows = getattr(self.command, "shows", None)
        return [column.key for column in (SCHEMAS[shows] if shows else CHANGE).columns]


def _node(command: click.Command, above: Node | None) -> Node:
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


class Slot(NamedTuple):
    """One value on the command line: what it is called, and what completes it: words, or a kind of
    `kinds`, or nothing. `repeated`: any number of them."""

    label: str
    words: tuple[str, ...]
    kind: str
    repeated: bool


def slots(path: str, param: click.Parameter) -> list[Slot]:
    """The values of an option, or of an argument, which may stand for several: `CONTAINER PATH`."""
    if words := choices(param):
        return [Slot(label(param), tuple(words), "", param.nargs == -1)]
    spellings = param.opts if isinstance(param, click.Option) else ()
    return [_slot(path, text, spellings) for text in label(param).split()]


def _slot(path: str, text: str, spellings: Sequence[str]) -> Slot:
    word, repeated = text.strip("[]").removesuffix("..."), "..." in text
    value: str | tuple[str, ...] | None = None
    with suppress(KeyError):
        value = value_of(path, word.partition("|")[0], spellings)
    words = value if isinstance(value, tuple) else ()
    return Slot(word, words, value if isinstance(value, str) else "", repeated)


def may_lack_value(option: click.Option) -> bool:
    """Whether it may stand alone: `--watch [SECONDS]`."""
    return bool(re.fullmatch(r"\[[A-Z]+\]", label(option)))


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
    for option in anywhere:
        pattern = " | ".join(f"*' {spelling}'" for spelling in option.opts)
        values += _bash_value(pattern, slots("", option)[0])
    options = [*anywhere, *(option for own in nodes.values() for option in own)]
    return _BASH.format(
        options=" ".join(_spellings(anywhere)),
        valued=" ".join(_spellings(anywhere, valued=True)),
        flag_letters=_letters(option for option in options if option.is_flag),
        value_letters=_letters(option for option in options if _is_valued(option)),
        nodes="\n".join(filter(None, (_bash_node(*entry) for entry in nodes.items()))),
        values="\n".join(values),
    )


def _bash_node(node: Node, options: list[click.Option]) -> str:
    return _bash_case(
        f"'{node.path}'",
        verbs=[str(child.command.name) for child in node.children],
        options=_spellings(options),
        valued=_spellings(options, valued=True),
        keys=node.keys,
    )


def _bash_values(node: Node, options: list[click.Option]) -> Iterator[str]:
    """What completes its own options and arguments, by 'path --option' or 'path 1'."""
    for option in options:
        if _is_valued(option):
            pattern = " | ".join(f"'{node.path} {spelling}'" for spelling in option.opts)
            yield from _bash_value(pattern, slots(node.path, option)[0])
    number = 0
    for argument in node.arguments:
        for slot in slots(node.path, argument):
            number += 1
            place = f"{node.path} {number}"
            yield from _bash_value(f"'{place}'", slot)
            if slot.repeated:
                yield from _bash_value(f"'{node.path} '[0-9]*", slot)


def _bash_value(pattern: str, slot: Slot) -> Iterator[str]:
    if slot.words or slot.kind:
        yield _bash_case(pattern, choices=slot.words, kind=[slot.kind] if slot.kind else [])


def _bash_case(pattern: str, **words: Sequence[str]) -> str:
    assignments = [f"{name}='{' '.join(given)}'" for name, given in words.items() if given]
    return f"        {pattern}) {' '.join(assignments)} ;;" if assignments else ""


def _spellings(options: list[click.Option], valued: bool = False) -> list[str]:
    """All spellings of options; of those only whose value is the next word."""
    return [word for o in options if not valued or _is_valued(o) for word in o.opts]


def _is_valued(option: click.Option) -> bool:
    return not option.is_flag and not may_lack_value(option)


def _letters(options: Iterable[click.Option]) -> str:
    """The letters of short options."""
    return "".join(sorted({word[1] for o in options for word in o.opts if len(word) == 2}))


_BASH = r"""# bash completion of rdctl, made by: rdctl completion bash

# What belongs to one place in the tree: its verbs, its own options, those that take a value, the
# keys of what it shows.
_rdctl_node() {{
    verbs='' options='' valued='' keys=''
    case $1 in
{nodes}
    esac
    options+=' {options}'
    valued+=' {valued}'
}}

# What completes a value, of an option, or of an argument by its number: words, or a kind of name.
_rdctl_values() {{
    choices='' kind=''
    case $1 in
{values}
    esac
}}

_rdctl() {{
    local IFS=$' \t\n' path=rdctl option='' ended='' prefix='' before='' ids=0 cid=0 number
    local verbs options valued keys choices='' kind='' word blank current head value
    local line=${{COMP_LINE:0:COMP_POINT}}
    local -a typed=() args=()

    # bash parts words at : and = too; what stands without a blank between is one word again.
    for word in "${{COMP_WORDS[@]:0:COMP_CWORD+1}}"; do
        blank=${{line%%[![:space:]]*}}
        line=${{line#"$blank"}}
        # The cursor may stand within the word.
        [[ $line == "$word"* ]] || word=$line
        if [[ ${{#typed[@]}} -eq 0 || $blank ]]; then
            typed+=("$word")
        else
            typed[-1]+=$word
        fi
        line=${{line#"$word"}}
    done
    current=${{typed[-1]}}
    # bash replaces only the last part; what parts words is none itself.
    [[ $word == *[!"$COMP_WORDBREAKS"]* ]] || word=''
    head=${{current%"$word"}}

    _rdctl_node "$path"
    for word in "${{typed[@]:1:${{#typed[@]}}-2}}"; do
        if [[ $option ]]; then
            option=''
        elif [[ ! $ended && $word == -- ]]; then
            ended=1
        elif [[ ! $ended && $word == -?* ]]; then
            case $word in
                --cid | --cid=*) cid=1 ;;
                --content-id | --content-id=*) ids=1 ;;
            esac
            if [[ " $valued " == *" $word "* ]]; then
                option=$word
            elif [[ $word =~ ^-[{flag_letters}]+[{value_letters}]$ ]]; then
                option=-${{word: -1}}
            fi
        elif [[ " $verbs " == *" $word "* ]]; then
            path+=" $word" ended=''
            _rdctl_node "$path"
        else
            args+=("$word")
        fi
    done
    # An id stands in place of a container, or of a path.
    number=$((${{#args[@]}} + 1 + cid))
    ((number == 1)) || number=$((number + ids))

    if [[ ! $option && ! $ended ]]; then
        if [[ $current == --*=* ]]; then
            option=${{current%%=*}} prefix=${{current%%=*}}=
        elif [[ $current == -[!-]?* && " $valued " == *" ${{current:0:2}} "* ]]; then
            option=${{current:0:2}} prefix=$option
        fi
    fi
    value=${{current#"$prefix"}}
    if [[ $option ]]; then
        _rdctl_values "$path $option"
    elif [[ ! $ended && $current == -* ]]; then
        choices=$options
    elif [[ $verbs ]]; then
        choices=$verbs
    else
        _rdctl_values "$path $number"
    fi

    case $kind in
        file)
            compopt -o default
            return
            ;;
        keys)
            choices=$keys
            [[ $value != *,* ]] || before=${{value%,*}},
            compopt -o nospace
            ;;
        sort-key)
            choices=$keys
            [[ $value != -* ]] || before=-
            ;;
        ?*)
            mapfile -t COMPREPLY < <(command rdctl __complete bash "$kind" "$prefix" "$head" \
                "$value" "${{#args[@]}}" "${{args[@]}}" "${{typed[@]:1:${{#typed[@]}}-2}}" \
                < /dev/null 2> /dev/null)
            ;;
    esac
    if [[ $choices ]]; then
        mapfile -t COMPREPLY < \
            <(compgen -P "$prefix$before" -W "$choices" -- "${{value#"$before"}}")
        COMPREPLY=("${{COMPREPLY[@]#"$head"}}")
    fi
    # What is assigned follows.
    [[ ${{COMPREPLY-}} != *= ]] || compopt -o nospace
}}

complete -F _rdctl rdctl
"""


# --- zsh --------------------------------------------------------------------------------------


def zsh(root: click.Command) -> str:
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
    """What `_arguments` is told of an option, once for each spelling; they exclude each other,
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
