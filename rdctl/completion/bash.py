"""The completion script for bash.

Words, options and choices are written into the script: to complete them no Python is started. Live
names are asked for with `rdctl __complete` (see `answer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import click

from rdctl.completion.nodes import Node, Slot, may_lack_value, parted, slots


def bash_script(root: click.Command) -> str:
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
