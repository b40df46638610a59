-- Gives a batch another body, if it is still there. endpoint, id, body
local at = queue('batch', ARGV[6], ARGV[7])
local before = call('HSTRLEN', at, 'body')
if before == 0 then return 0 end
call('HSET', at, 'body', ARGV[8])
resize(ARGV[6], #ARGV[8] - before)
return 1
