-- The node ends. What its sessions left behind, if anything, is the others' to tell.
call('ZREM', P .. 'ao:nodes', NODE)
free_queues(NODE)
call('HDEL', P .. 'ao:stats', NODE)
redis.pcall('HDEL', P .. 'ao:figures', NODE)
call('UNLINK', key('evicted', NODE), key('expelled', NODE), key('ending', NODE), key('recheck', NODE))
if call('EXISTS', key('conns', NODE), key('batches', NODE)) > 0 then call('SADD', P .. 'ao:dead', NODE) end
return 0
