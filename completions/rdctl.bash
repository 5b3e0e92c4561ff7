# bash completion of rdctl, made by: rdctl completion bash

# What belongs to one place in the tree: its verbs, its own options, those that take a value, the
# keys of what it shows.
_rdctl_node() {
    verbs='' options='' valued='' keys=''
    case $1 in
        'rdctl') verbs='rapiddisk oio doctor context sandbox completion help' options='--version' ;;
        'rdctl rapiddisk') verbs='status resources list show create resize flush remove lock unlock cache nvmet daemon' ;;
        'rdctl rapiddisk status') options='--watch' keys='status version mode endpoint dialect volumes max_volumes modules' ;;
        'rdctl rapiddisk resources') options='--watch' keys='mem_total mem_free mem_available disks' ;;
        'rdctl rapiddisk list') options='--ndjson --failed --watch' valued='--failed' keys='device size usage locked unwritten' ;;
        'rdctl rapiddisk show') options='--watch' keys='device size usage high_water locked unwritten users users_seen' ;;
        'rdctl rapiddisk create') options='--count --number --overcommit' valued='--count --number' keys='action target changed verified error line' ;;
        'rdctl rapiddisk resize') options='--overcommit --discard-contents --force --unseen' valued='--unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk flush') options='--ndjson --failed --discard-contents --force --unseen' valued='--failed --unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk remove') options='--ndjson --failed --discard-contents --force --unseen' valued='--failed --unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk lock') options='--ndjson --failed' valued='--failed' keys='action target changed verified error line' ;;
        'rdctl rapiddisk unlock') options='--ndjson --failed' valued='--failed' keys='action target changed verified error line' ;;
        'rdctl rapiddisk cache') verbs='list stats create remove sync' ;;
        'rdctl rapiddisk cache list') options='--watch' keys='device volume source policy dirty writeback_seconds flush_on_suspend kernel source_kernel' ;;
        'rdctl rapiddisk cache stats') options='--ndjson --failed --watch' valued='--failed' keys='device policy reads cache_hits hit_rate writes replacement write_replacement read_invalidates write_invalidates uncached_reads uncached_writes disk_reads disk_writes cache_reads cache_writes errors num_blocks num_free_blocks num_wb_blocks num_write_uncommitted_blk_hits num_write_committed_blk_hits num_write_cache_bypass num_write_cache_alloc num_write_freelist_blocked num_flush_req num_discard_req' ;;
        'rdctl rapiddisk cache create') options='--policy --name --max-age --adopt --discard-contents --force --unseen' valued='--policy --name --max-age --unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk cache remove') options='--ndjson --failed --force --unseen' valued='--failed --unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk cache sync') options='--ndjson --failed' valued='--failed' keys='action target changed verified error line' ;;
        'rdctl rapiddisk nvmet') verbs='list export unexport revalidate port' ;;
        'rdctl rapiddisk nvmet list') options='--all --watch' keys='nqn namespace device enabled any_host hosts ports' ;;
        'rdctl rapiddisk nvmet export') options='--port --host --any-host --unseen' valued='--port --host --unseen' keys='action target changed verified error line' ;;
        'rdctl rapiddisk nvmet unexport') options='--nqn --port --host' valued='--nqn --port --host' keys='action target changed verified error line' ;;
        'rdctl rapiddisk nvmet revalidate') keys='action target changed verified error line' ;;
        'rdctl rapiddisk nvmet port') verbs='list add remove' ;;
        'rdctl rapiddisk nvmet port list') options='--watch' keys='port transport address service' ;;
        'rdctl rapiddisk nvmet port add') options='--transport --interface --address --service' valued='--transport --interface --address --service' keys='action target changed verified error line' ;;
        'rdctl rapiddisk nvmet port remove') keys='action target changed verified error line' ;;
        'rdctl rapiddisk daemon') verbs='status start stop enable disable' ;;
        'rdctl rapiddisk daemon status') options='--watch' keys='unit installed active enabled state pid' ;;
        'rdctl rapiddisk daemon start') keys='action target changed verified error line' ;;
        'rdctl rapiddisk daemon stop') keys='action target changed verified error line' ;;
        'rdctl rapiddisk daemon enable') keys='action target changed verified error line' ;;
        'rdctl rapiddisk daemon disable') keys='action target changed verified error line' ;;
        'rdctl oio') verbs='conscience reference container content account service admin local api' ;;
        'rdctl oio conscience') verbs='info types list register lock unlock flush deregister' ;;
        'rdctl oio conscience info') options='--watch' keys='namespace chunk_size storage_policies data_security service_pools options' ;;
        'rdctl oio conscience types') options='--watch' keys='type' ;;
        'rdctl oio conscience list') options='--ndjson --failed --full --watch' valued='--failed' keys='type address score state tags' ;;
        'rdctl oio conscience register') options='--tag' valued='--tag' keys='action target changed verified error line' ;;
        'rdctl oio conscience lock') options='--ndjson --failed --score' valued='--failed --score' keys='action target changed verified error line' ;;
        'rdctl oio conscience unlock') options='--ndjson --failed --all' valued='--failed' keys='action target changed verified error line' ;;
        'rdctl oio conscience flush') keys='action target changed verified error line' ;;
        'rdctl oio conscience deregister') keys='action target changed verified error line' ;;
        'rdctl oio reference') verbs='create show destroy link unlink renew force get-properties set-properties del-properties' ;;
        'rdctl oio reference create') options='-p --property' valued='-p --property' keys='action target changed verified error line' ;;
        'rdctl oio reference show') options='--cid --type --watch' valued='--cid --type' keys='reference services directory' ;;
        'rdctl oio reference destroy') options='--cid --force' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio reference link') options='--cid' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio reference unlink') options='--cid' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio reference renew') options='--cid' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio reference force') options='--cid --seq --args --replace' valued='--cid --seq --args' keys='action target changed verified error line' ;;
        'rdctl oio reference get-properties') options='--cid --watch' valued='--cid' keys='target properties system' ;;
        'rdctl oio reference set-properties') options='--cid --replace-all' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio reference del-properties') options='--cid --all' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio container') verbs='create show list destroy flush get-properties set-properties del-properties touch dedup purge raw-insert raw-update raw-delete' ;;
        'rdctl oio container create') options='--ndjson --failed -p --property --system' valued='--failed -p --property --system' keys='action target changed verified error line' ;;
        'rdctl oio container show') options='--ndjson --failed --cid --watch' valued='--failed --cid' keys='container account cid usage objects quota policy versioning status created properties system' ;;
        'rdctl oio container list') options='--cid --prefix --delimiter --marker --end-marker --limit --deleted --all-versions --properties --watch' valued='--cid --prefix --delimiter --marker --end-marker --limit' keys='name kind size hash policy mime_type content_id version deleted created modified properties' ;;
        'rdctl oio container destroy') options='--ndjson --failed --cid --flush --force' valued='--failed --cid' keys='action target changed verified error line' ;;
        'rdctl oio container flush') options='--cid' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio container get-properties') options='--cid --watch' valued='--cid' keys='target properties system' ;;
        'rdctl oio container set-properties') options='--cid --replace-all --system' valued='--cid --system' keys='action target changed verified error line' ;;
        'rdctl oio container del-properties') options='--cid --all' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio container touch') options='--ndjson --failed --cid' valued='--failed --cid' keys='action target changed verified error line' ;;
        'rdctl oio container dedup') options='--cid' valued='--cid' keys='action target changed verified error line' ;;
        'rdctl oio container purge') options='--cid --max-versions' valued='--cid --max-versions' keys='action target changed verified error line' ;;
        'rdctl oio container raw-insert') options='--cid --body --force' valued='--cid --body' keys='action target changed verified error line' ;;
        'rdctl oio container raw-update') options='--cid --body --frozen' valued='--cid --body' keys='action target changed verified error line' ;;
        'rdctl oio container raw-delete') options='--cid --body' valued='--cid --body' keys='action target changed verified error line' ;;
        'rdctl oio content') verbs='list show delete get-properties set-properties del-properties touch prepare create spare copy truncate put get' ;;
        'rdctl oio content list') options='--cid --prefix --delimiter --marker --end-marker --limit --deleted --all-versions --properties --watch' valued='--cid --prefix --delimiter --marker --end-marker --limit' keys='name kind size hash policy mime_type content_id version deleted created modified properties' ;;
        'rdctl oio content show') options='--ndjson --failed --content-version --content-id --cid --watch' valued='--failed --content-version --content-id --cid' keys='container path content_id version size hash policy mime_type chunk_method chunk_size created modified deleted properties chunks' ;;
        'rdctl oio content delete') options='--ndjson --failed --content-version --content-id --cid' valued='--failed --content-version --content-id --cid' keys='action target changed verified error line' ;;
        'rdctl oio content get-properties') options='--content-version --content-id --cid --watch' valued='--content-version --content-id --cid' keys='target properties system' ;;
        'rdctl oio content set-properties') options='--content-version --content-id --cid --replace-all' valued='--content-version --content-id --cid' keys='action target changed verified error line' ;;
        'rdctl oio content del-properties') options='--content-version --content-id --cid --all' valued='--content-version --content-id --cid' keys='action target changed verified error line' ;;
        'rdctl oio content touch') options='--ndjson --failed --content-version --content-id --cid' valued='--failed --content-version --content-id --cid' keys='action target changed verified error line' ;;
        'rdctl oio content prepare') options='--cid --size --policy --autocreate' valued='--cid --size --policy' keys='container path content_id version size hash policy mime_type chunk_method chunk_size created modified deleted properties chunks' ;;
        'rdctl oio content create') options='--cid --chunks --length --content-id --content-version --hash --mime-type --policy --chunk-method -p --property' valued='--cid --chunks --length --content-id --content-version --hash --mime-type --policy --chunk-method -p --property' keys='action target changed verified error line' ;;
        'rdctl oio content spare') options='--content-version --content-id --cid --policy --body' valued='--content-version --content-id --cid --policy --body' keys='url' ;;
        'rdctl oio content copy') options='--content-version --content-id --cid' valued='--content-version --content-id --cid' keys='action target changed verified error line' ;;
        'rdctl oio content truncate') options='--content-version --content-id --cid --size' valued='--content-version --content-id --cid --size' keys='action target changed verified error line' ;;
        'rdctl oio content put') options='--cid --files-from --ndjson --failed --path --prefix --recursive --overwrite --autocreate --policy --mime-type --min-copies -p --property' valued='--cid --files-from --failed --path --prefix --policy --mime-type --min-copies -p --property' keys='action target changed verified error line' ;;
        'rdctl oio content get') options='--ndjson --failed --content-version --content-id --cid --to --recursive --range --continue --overwrite' valued='--failed --content-version --content-id --cid --to --range' keys='action target changed verified error line' ;;
        'rdctl oio account') verbs='list show containers' ;;
        'rdctl oio account list') options='--watch' keys='account' ;;
        'rdctl oio account show') options='--watch' keys='account containers objects bytes created metadata' ;;
        'rdctl oio account containers') options='--prefix --marker --limit --watch' valued='--prefix --marker --limit' keys='name kind objects bytes modified' ;;
        'rdctl oio service') verbs='stats ping version handlers lean-glib lean-sqlx flush reload kill' ;;
        'rdctl oio service stats') options='--type --watch' valued='--type' keys='name kind value' ;;
        'rdctl oio service ping') options='--type --watch' valued='--type' keys='service status version' ;;
        'rdctl oio service version') options='--type --watch' valued='--type' keys='service status version' ;;
        'rdctl oio service handlers') options='--watch' keys='handler' ;;
        'rdctl oio service lean-glib') keys='action target changed verified error line' ;;
        'rdctl oio service lean-sqlx') keys='action target changed verified error line' ;;
        'rdctl oio service flush') keys='action target changed verified error line' ;;
        'rdctl oio service reload') keys='action target changed verified error line' ;;
        'rdctl oio service kill') keys='action target changed verified error line' ;;
        'rdctl oio admin') verbs='ping status drop-cache sync debug leave copy freeze enable disable get-properties set-properties del-properties' ;;
        'rdctl oio admin ping') options='--cid --type --seq' valued='--cid --type --seq' keys='service role master status message body' ;;
        'rdctl oio admin status') options='--cid --type --seq --watch' valued='--cid --type --seq' keys='service role master status message body' ;;
        'rdctl oio admin drop-cache') options='--cid --type --seq' valued='--cid --type --seq' keys='service role master status message body' ;;
        'rdctl oio admin sync') options='--cid --type --seq' valued='--cid --type --seq' keys='service role master status message body' ;;
        'rdctl oio admin debug') options='--cid --type --seq --watch' valued='--cid --type --seq' keys='service status message state master peers log' ;;
        'rdctl oio admin leave') options='--cid --type --seq --service --all' valued='--cid --type --seq --service' keys='service role master status message body' ;;
        'rdctl oio admin copy') options='--cid --type --seq --to' valued='--cid --type --seq --to' keys='action target changed verified error line' ;;
        'rdctl oio admin freeze') options='--cid --type --seq' valued='--cid --type --seq' keys='action target changed verified error line' ;;
        'rdctl oio admin enable') options='--cid --type --seq' valued='--cid --type --seq' keys='action target changed verified error line' ;;
        'rdctl oio admin disable') options='--cid --type --seq' valued='--cid --type --seq' keys='action target changed verified error line' ;;
        'rdctl oio admin get-properties') options='--cid --type --seq --watch' valued='--cid --type --seq' keys='target properties system' ;;
        'rdctl oio admin set-properties') options='--cid --replace-all --system --type --seq' valued='--cid --system --type --seq' keys='action target changed verified error line' ;;
        'rdctl oio admin del-properties') options='--cid --all --type --seq' valued='--cid --type --seq' keys='action target changed verified error line' ;;
        'rdctl oio local') verbs='list' ;;
        'rdctl oio local list') options='--watch' keys='type address score state tags' ;;
        'rdctl oio api') options='--param --header --body -i --include --raw' valued='--param --header --body' keys='action target changed verified error line' ;;
        'rdctl doctor') options='--deep --fail-on' valued='--fail-on' keys='severity check subject message why mend' ;;
        'rdctl context') verbs='list show use set remove' ;;
        'rdctl context list') keys='name current rapiddisk oio namespace account protected file' ;;
        'rdctl context show') keys='key value origin' ;;
        'rdctl context use') keys='action target changed verified error line' ;;
        'rdctl context set') keys='action target changed verified error line' ;;
        'rdctl context remove') keys='action target changed verified error line' ;;
        'rdctl sandbox') verbs='serve reset path' ;;
        'rdctl sandbox serve') options='--host --rapiddisk-port --oio-port' valued='--host --rapiddisk-port --oio-port' keys='action target changed verified error line' ;;
        'rdctl sandbox reset') keys='action target changed verified error line' ;;
        'rdctl sandbox path') keys='path' ;;
        'rdctl completion') options='--install' keys='action target changed verified error line' ;;
        'rdctl help') keys='action target changed verified error line' ;;
    esac
    options+=' -h --help -c --context --local --rapiddisk-url --oio-url --namespace --account -o --output --json --columns --sort-by --no-headers -0 --query --table-style -y --yes --dry-run --timeout --retries --parallel --request-id --trace -q --quiet --color'
    valued+=' -c --context --rapiddisk-url --oio-url --namespace --account -o --output --columns --sort-by --query --table-style --timeout --retries --parallel --request-id --color'
}

# What completes a value, of an option, or of an argument by its number: words, or a kind of name.
_rdctl_values() {
    choices='' kind=''
    case $1 in
        'rdctl rapiddisk list --failed') kind='file' ;;
        'rdctl rapiddisk list 1') kind='volume' ;;
        'rdctl rapiddisk list '[0-9]*) kind='volume' ;;
        'rdctl rapiddisk show 1') kind='volume' ;;
        'rdctl rapiddisk resize --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk resize 1') kind='volume' ;;
        'rdctl rapiddisk flush --failed') kind='file' ;;
        'rdctl rapiddisk flush --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk flush 1') kind='volume' ;;
        'rdctl rapiddisk flush '[0-9]*) kind='volume' ;;
        'rdctl rapiddisk remove --failed') kind='file' ;;
        'rdctl rapiddisk remove --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk remove 1') kind='volume' ;;
        'rdctl rapiddisk remove '[0-9]*) kind='volume' ;;
        'rdctl rapiddisk lock --failed') kind='file' ;;
        'rdctl rapiddisk lock 1') kind='volume' ;;
        'rdctl rapiddisk lock '[0-9]*) kind='volume' ;;
        'rdctl rapiddisk unlock --failed') kind='file' ;;
        'rdctl rapiddisk unlock 1') kind='volume' ;;
        'rdctl rapiddisk unlock '[0-9]*) kind='volume' ;;
        'rdctl rapiddisk cache stats --failed') kind='file' ;;
        'rdctl rapiddisk cache stats 1') kind='cache' ;;
        'rdctl rapiddisk cache stats '[0-9]*) kind='cache' ;;
        'rdctl rapiddisk cache create --policy') choices='write-through write-around writeback' ;;
        'rdctl rapiddisk cache create --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk cache create 1') kind='volume' ;;
        'rdctl rapiddisk cache create 2') kind='source' ;;
        'rdctl rapiddisk cache remove --failed') kind='file' ;;
        'rdctl rapiddisk cache remove --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk cache remove 1') kind='cache' ;;
        'rdctl rapiddisk cache remove '[0-9]*) kind='cache' ;;
        'rdctl rapiddisk cache sync --failed') kind='file' ;;
        'rdctl rapiddisk cache sync 1') kind='cache' ;;
        'rdctl rapiddisk cache sync '[0-9]*) kind='cache' ;;
        'rdctl rapiddisk nvmet export --port') kind='port' ;;
        'rdctl rapiddisk nvmet export --host') kind='host' ;;
        'rdctl rapiddisk nvmet export --unseen') choices='exports caches locks opens' ;;
        'rdctl rapiddisk nvmet export 1') kind='device' ;;
        'rdctl rapiddisk nvmet unexport --nqn') kind='nqn' ;;
        'rdctl rapiddisk nvmet unexport --port') kind='port' ;;
        'rdctl rapiddisk nvmet unexport --host') kind='host' ;;
        'rdctl rapiddisk nvmet unexport 1') kind='export' ;;
        'rdctl rapiddisk nvmet revalidate 1') kind='export' ;;
        'rdctl rapiddisk nvmet port add --transport') choices='tcp rdma loop' ;;
        'rdctl rapiddisk nvmet port add --interface') kind='interface' ;;
        'rdctl rapiddisk nvmet port add --address') kind='ip' ;;
        'rdctl rapiddisk nvmet port remove 1') kind='port' ;;
        'rdctl oio conscience list --failed') kind='file' ;;
        'rdctl oio conscience list 1') kind='type' ;;
        'rdctl oio conscience list '[0-9]*) kind='type' ;;
        'rdctl oio conscience register 1') kind='type' ;;
        'rdctl oio conscience register 2') kind='address' ;;
        'rdctl oio conscience lock --failed') kind='file' ;;
        'rdctl oio conscience lock 1') kind='type' ;;
        'rdctl oio conscience lock 2') kind='address' ;;
        'rdctl oio conscience lock '[0-9]*) kind='address' ;;
        'rdctl oio conscience unlock --failed') kind='file' ;;
        'rdctl oio conscience unlock 1') kind='type' ;;
        'rdctl oio conscience unlock 2') kind='address' ;;
        'rdctl oio conscience unlock '[0-9]*) kind='address' ;;
        'rdctl oio conscience flush 1') kind='type' ;;
        'rdctl oio conscience deregister 1') kind='type' ;;
        'rdctl oio reference show --type') kind='type' ;;
        'rdctl oio reference show 1') kind='container' ;;
        'rdctl oio reference destroy 1') kind='container' ;;
        'rdctl oio reference link 1') kind='container' ;;
        'rdctl oio reference link 2') kind='type' ;;
        'rdctl oio reference unlink 1') kind='container' ;;
        'rdctl oio reference unlink 2') kind='type' ;;
        'rdctl oio reference renew 1') kind='container' ;;
        'rdctl oio reference renew 2') kind='type' ;;
        'rdctl oio reference force 1') kind='container' ;;
        'rdctl oio reference force 2') kind='type' ;;
        'rdctl oio reference force 3') kind='address' ;;
        'rdctl oio reference get-properties 1') kind='container' ;;
        'rdctl oio reference get-properties 2') kind='key:reference' ;;
        'rdctl oio reference get-properties '[0-9]*) kind='key:reference' ;;
        'rdctl oio reference set-properties 1') kind='container' ;;
        'rdctl oio reference set-properties 2') kind='assignment:reference' ;;
        'rdctl oio reference set-properties '[0-9]*) kind='assignment:reference' ;;
        'rdctl oio reference del-properties 1') kind='container' ;;
        'rdctl oio reference del-properties 2') kind='key:reference' ;;
        'rdctl oio reference del-properties '[0-9]*) kind='key:reference' ;;
        'rdctl oio container create --failed') kind='file' ;;
        'rdctl oio container show --failed') kind='file' ;;
        'rdctl oio container show 1') kind='container' ;;
        'rdctl oio container show '[0-9]*) kind='container' ;;
        'rdctl oio container list 1') kind='container' ;;
        'rdctl oio container destroy --failed') kind='file' ;;
        'rdctl oio container destroy 1') kind='container' ;;
        'rdctl oio container destroy '[0-9]*) kind='container' ;;
        'rdctl oio container flush 1') kind='container' ;;
        'rdctl oio container get-properties 1') kind='container' ;;
        'rdctl oio container get-properties 2') kind='key:container' ;;
        'rdctl oio container get-properties '[0-9]*) kind='key:container' ;;
        'rdctl oio container set-properties 1') kind='container' ;;
        'rdctl oio container set-properties 2') kind='assignment:container' ;;
        'rdctl oio container set-properties '[0-9]*) kind='assignment:container' ;;
        'rdctl oio container del-properties 1') kind='container' ;;
        'rdctl oio container del-properties 2') kind='key:container' ;;
        'rdctl oio container del-properties '[0-9]*) kind='key:container' ;;
        'rdctl oio container touch --failed') kind='file' ;;
        'rdctl oio container touch 1') kind='container' ;;
        'rdctl oio container touch '[0-9]*) kind='container' ;;
        'rdctl oio container dedup 1') kind='container' ;;
        'rdctl oio container purge 1') kind='container' ;;
        'rdctl oio container raw-insert --body') kind='file' ;;
        'rdctl oio container raw-insert 1') kind='container' ;;
        'rdctl oio container raw-update --body') kind='file' ;;
        'rdctl oio container raw-update 1') kind='container' ;;
        'rdctl oio container raw-delete --body') kind='file' ;;
        'rdctl oio container raw-delete 1') kind='container' ;;
        'rdctl oio content list 1') kind='container' ;;
        'rdctl oio content show --failed') kind='file' ;;
        'rdctl oio content show 1') kind='container' ;;
        'rdctl oio content show 2') kind='content' ;;
        'rdctl oio content show '[0-9]*) kind='content' ;;
        'rdctl oio content delete --failed') kind='file' ;;
        'rdctl oio content delete 1') kind='container' ;;
        'rdctl oio content delete 2') kind='content' ;;
        'rdctl oio content delete '[0-9]*) kind='content' ;;
        'rdctl oio content get-properties 1') kind='container' ;;
        'rdctl oio content get-properties 2') kind='content' ;;
        'rdctl oio content get-properties 3') kind='key:content' ;;
        'rdctl oio content get-properties '[0-9]*) kind='key:content' ;;
        'rdctl oio content set-properties 1') kind='container' ;;
        'rdctl oio content set-properties 2') kind='content' ;;
        'rdctl oio content set-properties 3') kind='assignment:content' ;;
        'rdctl oio content set-properties '[0-9]*) kind='assignment:content' ;;
        'rdctl oio content del-properties 1') kind='container' ;;
        'rdctl oio content del-properties 2') kind='content' ;;
        'rdctl oio content del-properties 3') kind='key:content' ;;
        'rdctl oio content del-properties '[0-9]*) kind='key:content' ;;
        'rdctl oio content touch --failed') kind='file' ;;
        'rdctl oio content touch 1') kind='container' ;;
        'rdctl oio content touch 2') kind='content' ;;
        'rdctl oio content touch '[0-9]*) kind='content' ;;
        'rdctl oio content prepare --policy') kind='policy' ;;
        'rdctl oio content prepare 1') kind='container' ;;
        'rdctl oio content prepare 2') kind='content' ;;
        'rdctl oio content create --chunks') kind='file' ;;
        'rdctl oio content create --policy') kind='policy' ;;
        'rdctl oio content create 1') kind='container' ;;
        'rdctl oio content create 2') kind='content' ;;
        'rdctl oio content spare --policy') kind='policy' ;;
        'rdctl oio content spare --body') kind='file' ;;
        'rdctl oio content spare 1') kind='container' ;;
        'rdctl oio content spare 2') kind='content' ;;
        'rdctl oio content copy 1') kind='container' ;;
        'rdctl oio content copy 2') kind='content' ;;
        'rdctl oio content truncate 1') kind='container' ;;
        'rdctl oio content truncate 2') kind='content' ;;
        'rdctl oio content put --files-from') kind='file' ;;
        'rdctl oio content put --failed') kind='file' ;;
        'rdctl oio content put --policy') kind='policy' ;;
        'rdctl oio content put 1') kind='container' ;;
        'rdctl oio content put 2') kind='file' ;;
        'rdctl oio content put '[0-9]*) kind='file' ;;
        'rdctl oio content get --failed') kind='file' ;;
        'rdctl oio content get --to') kind='file' ;;
        'rdctl oio content get 1') kind='container' ;;
        'rdctl oio content get 2') kind='content' ;;
        'rdctl oio content get '[0-9]*) kind='content' ;;
        'rdctl oio account show 1') kind='account' ;;
        'rdctl oio service stats --type') kind='type' ;;
        'rdctl oio service stats 1') kind='address' ;;
        'rdctl oio service ping --type') kind='type' ;;
        'rdctl oio service ping 1') kind='address' ;;
        'rdctl oio service version --type') kind='type' ;;
        'rdctl oio service version 1') kind='address' ;;
        'rdctl oio service handlers 1') kind='address' ;;
        'rdctl oio service lean-glib 1') kind='address' ;;
        'rdctl oio service lean-sqlx 1') kind='address' ;;
        'rdctl oio service flush 1') kind='address' ;;
        'rdctl oio service reload 1') kind='address' ;;
        'rdctl oio service kill 1') kind='address' ;;
        'rdctl oio admin ping --type') kind='type' ;;
        'rdctl oio admin ping 1') kind='container' ;;
        'rdctl oio admin status --type') kind='type' ;;
        'rdctl oio admin status 1') kind='container' ;;
        'rdctl oio admin drop-cache --type') kind='type' ;;
        'rdctl oio admin drop-cache 1') kind='container' ;;
        'rdctl oio admin sync --type') kind='type' ;;
        'rdctl oio admin sync 1') kind='container' ;;
        'rdctl oio admin debug --type') kind='type' ;;
        'rdctl oio admin debug 1') kind='container' ;;
        'rdctl oio admin leave --type') kind='type' ;;
        'rdctl oio admin leave --service') kind='replica' ;;
        'rdctl oio admin leave 1') kind='container' ;;
        'rdctl oio admin copy --type') kind='type' ;;
        'rdctl oio admin copy --to') kind='replica' ;;
        'rdctl oio admin copy 1') kind='container' ;;
        'rdctl oio admin freeze --type') kind='type' ;;
        'rdctl oio admin freeze 1') kind='container' ;;
        'rdctl oio admin enable --type') kind='type' ;;
        'rdctl oio admin enable 1') kind='container' ;;
        'rdctl oio admin disable --type') kind='type' ;;
        'rdctl oio admin disable 1') kind='container' ;;
        'rdctl oio admin get-properties --type') kind='type' ;;
        'rdctl oio admin get-properties 1') kind='container' ;;
        'rdctl oio admin get-properties 2') kind='key:admin' ;;
        'rdctl oio admin get-properties '[0-9]*) kind='key:admin' ;;
        'rdctl oio admin set-properties --type') kind='type' ;;
        'rdctl oio admin set-properties 1') kind='container' ;;
        'rdctl oio admin set-properties 2') kind='assignment:admin' ;;
        'rdctl oio admin set-properties '[0-9]*) kind='assignment:admin' ;;
        'rdctl oio admin del-properties --type') kind='type' ;;
        'rdctl oio admin del-properties 1') kind='container' ;;
        'rdctl oio admin del-properties 2') kind='key:admin' ;;
        'rdctl oio admin del-properties '[0-9]*) kind='key:admin' ;;
        'rdctl oio api --body') kind='file' ;;
        'rdctl oio api 1') choices='GET POST PUT DELETE' ;;
        'rdctl oio api 2') choices='/cache/flush/high /cache/flush/local /cache/flush/low /cache/show /cache/status /config /forward/flush /forward/handlers /forward/info /forward/kill /forward/lean-glib /forward/lean-sqlx /forward/ping /forward/reload /forward/stats /forward/version /status admin/copy admin/debug admin/del_properties admin/disable admin/drop_cache admin/enable admin/freeze admin/get_properties admin/has admin/info admin/leave admin/meta0_force admin/meta0_list admin/ping admin/remove admin/set_properties admin/status admin/sync admin/vacuum conscience/deregister conscience/flush conscience/info conscience/list conscience/lock conscience/register conscience/resolve conscience/unlock container/create container/create_many container/dedup container/del_properties container/destroy container/flush container/get_properties container/list container/purge container/raw_delete container/raw_insert container/raw_update container/set_properties container/show container/snapshot container/touch content/copy content/create content/del_properties content/delete content/delete_many content/drain content/get_properties content/link content/locate content/prepare content/purge content/set_properties content/show content/spare content/touch content/truncate content/update lb/choose lb/create_pool lb/poll lb/reload local/list reference/create reference/del_properties reference/destroy reference/force reference/get_properties reference/link reference/relink reference/renew reference/set_properties reference/show reference/unlink' ;;
        'rdctl doctor --fail-on') choices='warning error' ;;
        'rdctl context show 1') kind='context' ;;
        'rdctl context use 1') kind='context' ;;
        'rdctl context set 1') kind='context' ;;
        'rdctl context set 2') choices='rapiddisk= oio= namespace= account= protected= timeout= token_file= ca= cert= key= http_proxy= dialect=' ;;
        'rdctl context set '[0-9]*) choices='rapiddisk= oio= namespace= account= protected= timeout= token_file= ca= cert= key= http_proxy= dialect=' ;;
        'rdctl context remove 1') kind='context' ;;
        'rdctl sandbox serve --host') kind='ip' ;;
        'rdctl completion 1') choices='bash zsh' ;;
        'rdctl help 1') choices='exit-codes output environment config' ;;
        *' -c' | *' --context') kind='contexts' ;;
        *' --account') kind='account' ;;
        *' -o' | *' --output') choices='table json ndjson yaml csv tsv name' ;;
        *' --columns') kind='keys' ;;
        *' --sort-by') kind='sort-key' ;;
        *' --table-style') choices='fancy_grid github grid heavy_grid html jira latex mediawiki orgtbl pipe plain presto pretty psql rounded_grid rst simple textile' ;;
        *' --color') choices='auto always never' ;;
    esac
}

_rdctl() {
    local IFS=$' \t\n' path=rdctl option='' ended='' prefix='' before='' ids=0 cid=0 number
    local verbs options valued keys choices='' kind='' word blank current head value
    local line=${COMP_LINE:0:COMP_POINT}
    local -a typed=() args=()

    # bash parts words at : and = too; what stands without a blank between is one word again.
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        blank=${line%%[![:space:]]*}
        line=${line#"$blank"}
        # The cursor may stand within the word.
        [[ $line == "$word"* ]] || word=$line
        if [[ ${#typed[@]} -eq 0 || $blank ]]; then
            typed+=("$word")
        else
            typed[-1]+=$word
        fi
        line=${line#"$word"}
    done
    current=${typed[-1]}
    # bash replaces only the last part; what parts words is none itself.
    [[ $word == *[!"$COMP_WORDBREAKS"]* ]] || word=''
    head=${current%"$word"}

    _rdctl_node "$path"
    for word in "${typed[@]:1:${#typed[@]}-2}"; do
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
            elif [[ $word =~ ^-[0hiqy]+[cop]$ ]]; then
                option=-${word: -1}
            fi
        elif [[ " $verbs " == *" $word "* ]]; then
            path+=" $word" ended=''
            _rdctl_node "$path"
        else
            args+=("$word")
        fi
    done
    # An id stands in place of a container, or of a path.
    number=$((${#args[@]} + 1 + cid))
    ((number == 1)) || number=$((number + ids))

    if [[ ! $option && ! $ended ]]; then
        if [[ $current == --*=* ]]; then
            option=${current%%=*} prefix=${current%%=*}=
        elif [[ $current == -[!-]?* && " $valued " == *" ${current:0:2} "* ]]; then
            option=${current:0:2} prefix=$option
        fi
    fi
    value=${current#"$prefix"}
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
            [[ $value != *,* ]] || before=${value%,*},
            compopt -o nospace
            ;;
        sort-key)
            choices=$keys
            [[ $value != -* ]] || before=-
            ;;
        ?*)
            mapfile -t COMPREPLY < <(command rdctl __complete bash "$kind" "$prefix" "$head" \
                "$value" "${#args[@]}" "${args[@]}" "${typed[@]:1:${#typed[@]}-2}" \
                < /dev/null 2> /dev/null)
            ;;
    esac
    if [[ $choices ]]; then
        mapfile -t COMPREPLY < \
            <(compgen -P "$prefix$before" -W "$choices" -- "${value#"$before"}")
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
    # What is assigned follows.
    [[ ${COMPREPLY-} != *= ]] || compopt -o nospace
}

complete -F _rdctl rdctl
