-- Whether a newcomer can sign in, join and store. Keys of a wrong type are looked for where they harm everybody; those of one room or one user
-- harm these alone. The write shows whether Redis takes any: it may be out of memory, unable to save, or a replica.
local keys = {
  { 'nodes', 'zset' }, { 'stats', 'hash' }, { 'dead', 'set' }, { 'sessions', 'hash' }, { 'rooms', 'set' }, { 'online', 'zset' },
  { 'expiring', 'zset' }, { 'floor', 'string' },
  { 'user_auth', 'string' }, { 'user_auth_serial', 'string' },
  { 'revocations', 'string' }, { 'conns:' .. NODE, 'set' }, { 'evicted:' .. NODE, 'set' }, { 'expelled:' .. NODE, 'set' }, { 'ending:' .. NODE, 'set' },
  { 'recheck:' .. NODE, 'set' },
  { 'batches:' .. NODE, 'set' },
}
for _, wanted in ipairs(keys) do
  local found = call('TYPE', P .. 'ao:' .. wanted[1]).ok
  if found ~= 'none' and found ~= wanted[2] then
    return redis.error_reply('AOTYPE ' .. P .. 'ao:' .. wanted[1] .. ' is a ' .. found .. ', and has to be a ' .. wanted[2])
  end
end
if not call('ZSCORE', P .. 'ao:nodes', NODE) then return redis.error_reply('AOLOST this node was taken for dead') end
call('SET', P .. 'ao:probe', NOW, 'PX', 10000)
return 0
