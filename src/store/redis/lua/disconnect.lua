-- Has all connections of a uid ended by their nodes. uid, d(rop) or r(efuse), how long a node may take until it is not told any more, in ms
-- Returns how many there are. A node takes each out of the set once it has ended it.
local uid, how, kept = ARGV[6], ARGV[7], ARGV[8]
local late = expired()
if late then return late end
local connections = connections_of(uid)
for _, connection in ipairs(connections) do
  local node = connection.node
  call('SADD', key('ending', node), connection.number .. ' ' .. how)
  call('PEXPIRE', key('ending', node), kept)
  call('PUBLISH', C .. 'node:' .. node, (how == 'd' and 'drop ' or 'refuse ') .. connection.number)
end
return #connections
