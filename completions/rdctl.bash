# bash completion of rdctl, made by: rdctl completion bash

# What belongs to one place in the tree: its verbs, its own options, those that take a value.
_rdctl_node() {
    verbs='' options='' valued=''
    case $1 in
        'rdctl') verbs='rapiddisk oio context sandbox completion help' options='--version' ;;
        'rdctl rapiddisk') verbs='status resources list show create resize flush remove lock unlock cache nvmet daemon' ;;
        'rdctl rapiddisk create') options='--count --number --overcommit' valued='--count --number' ;;
        'rdctl rapiddisk resize') options='--overcommit --force' ;;
        'rdctl rapiddisk flush') options='--force' ;;
        'rdctl rapiddisk remove') options='--force' ;;
        'rdctl rapiddisk cache') verbs='list stats create remove sync' ;;
        'rdctl rapiddisk cache create') options='--policy --discard-contents --force' valued='--policy' ;;
        'rdctl rapiddisk cache remove') options='--force' ;;
        'rdctl rapiddisk nvmet') verbs='list export unexport revalidate port' ;;
        'rdctl rapiddisk nvmet list') options='--all' ;;
        'rdctl rapiddisk nvmet export') options='--port --host --any-host' valued='--port --host' ;;
        'rdctl rapiddisk nvmet unexport') options='--nqn --port --host' valued='--nqn --port --host' ;;
        'rdctl rapiddisk nvmet port') verbs='list add remove' ;;
        'rdctl rapiddisk nvmet port add') options='--transport --interface --address --service' valued='--transport --interface --address --service' ;;
        'rdctl rapiddisk daemon') verbs='status start stop enable disable' ;;
        'rdctl oio') verbs='conscience reference container content account service admin local api' ;;
        'rdctl oio conscience') verbs='info types list register lock unlock flush deregister' ;;
        'rdctl oio conscience list') options='--full' ;;
        'rdctl oio conscience register') options='--tag' valued='--tag' ;;
        'rdctl oio conscience lock') options='--score' valued='--score' ;;
        'rdctl oio conscience unlock') options='--all' ;;
        'rdctl oio reference') verbs='create show destroy link unlink renew force get-properties set-properties del-properties' ;;
        'rdctl oio reference create') options='-p --property' valued='-p --property' ;;
        'rdctl oio reference show') options='--cid --type' valued='--cid --type' ;;
        'rdctl oio reference destroy') options='--cid --force' valued='--cid' ;;
        'rdctl oio reference link') options='--cid' valued='--cid' ;;
        'rdctl oio reference unlink') options='--cid' valued='--cid' ;;
        'rdctl oio reference renew') options='--cid' valued='--cid' ;;
        'rdctl oio reference force') options='--cid --seq --args --replace' valued='--cid --seq --args' ;;
        'rdctl oio reference get-properties') options='--cid' valued='--cid' ;;
        'rdctl oio reference set-properties') options='--cid --replace-all' valued='--cid' ;;
        'rdctl oio reference del-properties') options='--cid --all' valued='--cid' ;;
        'rdctl oio container') verbs='create show list destroy flush get-properties set-properties del-properties touch dedup purge raw-insert raw-update raw-delete' ;;
        'rdctl oio container create') options='-p --property --system' valued='-p --property --system' ;;
        'rdctl oio container show') options='--cid' valued='--cid' ;;
        'rdctl oio container list') options='--cid --prefix --delimiter --marker --end-marker --limit --deleted --all-versions --properties' valued='--cid --prefix --delimiter --marker --end-marker --limit' ;;
        'rdctl oio container destroy') options='--cid --flush --force' valued='--cid' ;;
        'rdctl oio container flush') options='--cid' valued='--cid' ;;
        'rdctl oio container get-properties') options='--cid' valued='--cid' ;;
        'rdctl oio container set-properties') options='--cid --replace-all --system' valued='--cid --system' ;;
        'rdctl oio container del-properties') options='--cid --all' valued='--cid' ;;
        'rdctl oio container touch') options='--cid' valued='--cid' ;;
        'rdctl oio container dedup') options='--cid' valued='--cid' ;;
        'rdctl oio container purge') options='--cid --max-versions' valued='--cid --max-versions' ;;
        'rdctl oio container raw-insert') options='--cid --body --force' valued='--cid --body' ;;
        'rdctl oio container raw-update') options='--cid --body --frozen' valued='--cid --body' ;;
        'rdctl oio container raw-delete') options='--cid --body' valued='--cid --body' ;;
        'rdctl oio content') verbs='list show delete get-properties set-properties del-properties touch prepare create spare copy truncate' ;;
        'rdctl oio content list') options='--cid --prefix --delimiter --marker --end-marker --limit --deleted --all-versions --properties' valued='--cid --prefix --delimiter --marker --end-marker --limit' ;;
        'rdctl oio content show') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' ;;
        'rdctl oio content delete') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' ;;
        'rdctl oio content get-properties') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' ;;
        'rdctl oio content set-properties') options='--content-version --content-id --cid --replace-all' valued='--content-version --content-id --cid' ;;
        'rdctl oio content del-properties') options='--content-version --content-id --cid --all' valued='--content-version --content-id --cid' ;;
        'rdctl oio content touch') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' ;;
        'rdctl oio content prepare') options='--cid --size --policy --autocreate' valued='--cid --size --policy' ;;
        'rdctl oio content create') options='--cid --chunks --length --content-id --content-version --hash --mime-type --policy --chunk-method -p --property' valued='--cid --chunks --length --content-id --content-version --hash --mime-type --policy --chunk-method -p --property' ;;
        'rdctl oio content spare') options='--content-version --content-id --cid --policy --body' valued='--content-version --content-id --cid --policy --body' ;;
        'rdctl oio content copy') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' ;;
        'rdctl oio content truncate') options='--content-version --content-id --cid --size' valued='--content-version --content-id --cid --size' ;;
        'rdctl oio account') verbs='list show containers' ;;
        'rdctl oio account containers') options='--prefix --marker --limit' valued='--prefix --marker --limit' ;;
        'rdctl oio service') verbs='stats ping version handlers lean-glib lean-sqlx flush reload kill' ;;
        'rdctl oio admin') verbs='ping status drop-cache sync debug leave copy freeze enable disable get-properties set-properties del-properties' ;;
        'rdctl oio admin ping') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin status') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin drop-cache') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin sync') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin debug') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin leave') options='--cid --type --seq --service --all' valued='--cid --type --seq --service' ;;
        'rdctl oio admin copy') options='--cid --type --seq --to' valued='--cid --type --seq --to' ;;
        'rdctl oio admin freeze') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin enable') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin disable') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin get-properties') options='--cid --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio admin set-properties') options='--cid --replace-all --system --type --seq' valued='--cid --system --type --seq' ;;
        'rdctl oio admin del-properties') options='--cid --all --type --seq' valued='--cid --type --seq' ;;
        'rdctl oio local') verbs='list' ;;
        'rdctl oio api') options='--param --header --body -i --include' valued='--param --header --body' ;;
        'rdctl context') verbs='list show use set remove' ;;
        'rdctl sandbox') verbs='serve reset path' ;;
        'rdctl sandbox serve') options='--host --rapiddisk-port --oio-port' valued='--host --rapiddisk-port --oio-port' ;;
    esac
    options+=' -h --help -c --context --local --rapiddisk-url --oio-url --namespace --account -o --output --json --columns --sort-by --no-headers -0 --query --table-style -y --yes --dry-run --timeout --retries --request-id --trace -q --quiet --color'
    valued+=' -c --context --rapiddisk-url --oio-url --namespace --account -o --output --columns --sort-by --query --table-style --timeout --retries --request-id --color'
}

# The words for a value: of an option, or of an argument by its number.
_rdctl_values() {
    choices=''
    case $1 in
        'rdctl rapiddisk cache create --policy') choices='write-through write-around writeback' ;;
        'rdctl rapiddisk nvmet port add --transport') choices='tcp rdma loop' ;;
        'rdctl completion 1') choices='bash zsh' ;;
        'rdctl help 1') choices='exit-codes output environment config' ;;
        *' -o' | *' --output') choices='table json ndjson yaml csv tsv name' ;;
        *' --color') choices='auto always never' ;;
    esac
}

_rdctl() {
    local IFS=$' \t\n' path=rdctl option='' ended='' prefix='' number=1
    local verbs options valued choices word current offer line=${COMP_LINE:0:COMP_POINT}
    local -a typed=()

    # bash parts words at : and = too; what stands without a blank between is one word again.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        if [[ ${#typed[@]} -eq 0 || $line == [[:space:]]* ]]; then
            typed+=("$word")
        else
            typed[-1]+=$word
        fi
        line=${line#"${line%%[![:space:]]*}"}
        line=${line#"$word"}
    done
    current=${typed[-1]}

    _rdctl_node "$path"
    for word in "${typed[@]:1:${#typed[@]}-2}"; do
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
        option=${current%%=*} current=${current#*=}
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
}

complete -F _rdctl rdctl
