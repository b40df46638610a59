-- Stores, counts and tells a batch: all of it or nothing.
-- room, number of the batch, what is told, keep backups, room_expiry, a letter per entry; then each entry: [id,] body.
local room, number, meta, backups, room_expiry, kinds = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', tonumber(ARGV[10]), ARGV[11]
local FIRST = 12
local s = seq(room)
if s.batch then
  local done, first = string.match(s.batch, '^(%d+) (%d+)$')
  if done == number then return { s.epoch, first } end
end
local late = expired()
if late then return late end
if not call('ZSCORE', P .. 'ao:nodes', NODE) then return redis.error_reply('AOLOST this node was taken for dead') end
-- What a kicked connection had on its way has no effect, even if its node has not heard of the kick.
if call('EXISTS', key('evicted', NODE)) == 1 then
  local seen, evicted = {}, {}
  for connection in string.gmatch(meta, '[iug](%d+),') do
    if not seen[connection] then
      seen[connection] = true
      if call('SISMEMBER', key('evicted', NODE), connection) == 1 then evicted[#evicted + 1] = connection end
    end
  end
  if #evicted > 0 then return redis.error_reply('AOEVICTED ' .. table.concat(evicted, ' ')) end
end

local tail, opened = ',"ts":' .. clock[1] .. '}', ',"ts":' .. clock[1] .. ',"n":'
local inserts, updates, copies, ignored, at = {}, {}, {}, {}, FIRST
for i = 1, #kinds do
  local kind = string.byte(kinds, i)
  if kind == 105 then -- i
    inserts[#inserts + 1] = '{"data":' .. ARGV[at] .. tail
  elseif kind == 117 then -- u
    updates[#updates + 1] = ARGV[at]
    at = at + 1
    updates[#updates + 1] = '{"data":' .. ARGV[at] .. opened .. string.format('%d', s.n + i) .. '}'
    if backups then copies[#copies + 1] = '{"data":' .. ARGV[at] .. tail end
  elseif kind == 103 and backups then -- g
    ignored[#ignored + 1] = '{"data":' .. ARGV[at] .. tail
  end
  at = at + 1
end

local logs = log_keys(room)
-- Nothing is written before it is sure that all of it can be; the first to be written is the log.
call('LLEN', key('replay', room))
if #updates > 0 then call('HLEN', logs[2]) end
if #copies > 0 then call('LLEN', logs[3]) end
if #ignored > 0 then call('LLEN', logs[4]) end
-- Where this node's batches are remembered, until it forgets them or is reaped.
if not s.batch then call('SADD', key('batches', NODE), room) end

local begun = false
local function push(log, entries)
  for from = 1, #entries, 1000 do
    local to = math.min(from + 999, #entries)
    begun = call('RPUSH', log, unpack(entries, from, to)) == to or begun
  end
end
push(logs[1], inserts)
for from = 1, #updates, 1000 do
  call('HSET', logs[2], unpack(updates, from, math.min(from + 999, #updates)))
end
push(logs[3], copies)
push(logs[4], ignored)

local blobs = table.concat(ARGV, '', FIRST)
local first = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, number)
if (first == 1 or begun or room_expiry > 0) and call('EXISTS', key('members', room)) == 0 then unused(room, room_expiry) end
return { s.epoch, string.format('%d', first) }
