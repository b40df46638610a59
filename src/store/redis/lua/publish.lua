-- Stores, counts and tells a batch: all of it or nothing.
-- room, number of the batch, what is told, keep backups, room_expiry, most updates of the room, most bytes of them, a letter per entry; then
-- each entry: [id,] body.
local room, number, meta, backups, room_expiry, kinds = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', tonumber(ARGV[10]), ARGV[13]
local most, most_bytes = tonumber(ARGV[11]), tonumber(ARGV[12])
local FIRST = 14
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
local logs = log_keys(room)
local inserts, updates, copies, ignored, at = {}, {}, {}, {}, FIRST
-- What the room's updates take, with those of the batch; and the places of those that it has no room for.
local held, held_bytes, sizes, bodies, full
local function admit(place, id, body, entry)
  if not held then
    held, held_bytes = update_size(s.at, logs[2])
    sizes, bodies, full = {}, {}, {}
  end
  local old = sizes[id] or call('HSTRLEN', logs[2], id)
  local new, bytes = held + (old == 0 and 1 or 0), held_bytes - old + #entry
  if new > most or bytes > most_bytes then
    -- What is not larger than what it replaces may come in any case. Entries differ in what stands around the message.
    local was = bodies[id]
    if not was and old > 0 then
      local text = call('HGET', logs[2], id)
      was = old - #'{"data":' - #(string.match(text, ',"ts":%d+}$') or string.match(text, ',"ts":%d+,"n":%d+}$') or '')
    end
    if not was or #body > was then
      full[#full + 1] = place
      return false
    end
  end
  held, held_bytes, sizes[id], bodies[id] = new, bytes, #entry, #body
  return true
end

for i = 1, #kinds do
  local kind = string.byte(kinds, i)
  if kind == 105 then -- i
    inserts[#inserts + 1] = '{"data":' .. ARGV[at] .. tail
  elseif kind == 117 then -- u
    local id = ARGV[at]
    at = at + 1
    local entry = '{"data":' .. ARGV[at] .. opened .. string.format('%d', s.n + i) .. '}'
    if admit(i, id, ARGV[at], entry) then
      updates[#updates + 1] = id
      updates[#updates + 1] = entry
    end
    if backups then copies[#copies + 1] = '{"data":' .. ARGV[at] .. tail end
  elseif kind == 103 and backups then -- g
    ignored[#ignored + 1] = '{"data":' .. ARGV[at] .. tail
  end
  at = at + 1
end

-- The caller takes them out, and comes again with the others.
if full and #full > 0 then return redis.error_reply('AOFULL ' .. table.concat(full, ' ')) end
-- Nothing is written before it is sure that all of it can be; the first to be written is the log.
call('LLEN', key('replay', room))
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

if held then call('HSET', s.at, 'u', string.format('%d %d', held, held_bytes)) end
local blobs = table.concat(ARGV, '', FIRST)
local first = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, number)
if (first == 1 or begun or room_expiry > 0) and call('EXISTS', key('members', room)) == 0 then unused(room, room_expiry) end
return { s.epoch, string.format('%d', first) }
