-- Stores, counts and tells a batch: all of it or nothing.
-- room, number of the batch, what is told, keep backups, room_expiry, most updates of the room, most bytes of them, a letter per entry; then
-- each entry: [id or key,] body; then what else is told.
-- Returns where the order stands, the place of the first entry, the index of the first insert, and the time.
local room, number, meta, backups, room_expiry, kinds = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', tonumber(ARGV[10]), ARGV[13]
local most, most_bytes = tonumber(ARGV[11]), tonumber(ARGV[12])
local FIRST = 14
local s = seq(room)
if s.batch then
  local done, first, index, at_ms = string.match(s.batch, '^(%d+) (%d+) (%d+) (%d+)$')
  if done == number then return { s.epoch, first, index, at_ms } end
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

lapse(s)
local tail, opened = ',"ts":' .. clock[1] .. '}', ',"ts":' .. clock[1] .. ',"n":'
-- The original's entries know seconds; it never reads those of rooms that no client of it can name.
local insert_tail = string.byte(room) == 1 and ',"ts":' .. clock[1] .. ',"ms":' .. decimal(NOW) .. '}' or tail
local logs = log_keys(room)
local inserts, updates, copies, ignored, at = {}, {}, {}, {}, FIRST
-- Places of what is neither stored nor told, each with the reason: f(ull), d(uplicate).
local refused = {}

-- Whether the room knows the key of an insert: as many as it knows are newer than the last one it forgot. If not, the insert will have it.
local keyed, keyed_at, known_number = {}, {}
local function is_duplicate(key)
  if keyed_at[key] and #keyed - keyed_at[key] < 2 * KNOWN_KEYS then return true end
  local rank = call('ZRANK', logs[5], key)
  if rank then
    known_number = known_number or call('ZCARD', logs[5])
    local newer = known_number - rank - 1 + #keyed / 2
    -- Somebody else may have deleted the log.
    if newer < KNOWN_KEYS and tonumber(call('ZSCORE', logs[5], key)) >= begins(s, call('LLEN', logs[1])) then return true end
  end
  return false
end

-- What the room's updates take, with those of the batch.
local held, held_bytes, sizes, bodies
local function admit(place, id, body, entry)
  if not held then
    held, held_bytes = update_size(s.at, logs[2])
    sizes, bodies = {}, {}
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
      refused[#refused + 1] = 'f' .. place
      return false
    end
  end
  held, held_bytes, sizes[id], bodies[id] = new, bytes, #entry, #body
  return true
end

for i = 1, #kinds do
  local kind = string.byte(kinds, i)
  if kind == 105 then -- i
    inserts[#inserts + 1] = '{"data":' .. ARGV[at] .. insert_tail
  elseif kind == 107 then -- k: an insert with a key
    local key = short(ARGV[at])
    at = at + 1
    if is_duplicate(key) then
      refused[#refused + 1] = 'd' .. i
    else
      keyed[#keyed + 1] = #inserts
      keyed[#keyed + 1] = key
      keyed_at[key] = #keyed
      inserts[#inserts + 1] = '{"data":' .. ARGV[at] .. insert_tail
    end
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
if #refused > 0 then return redis.error_reply('AOREFUSED ' .. table.concat(refused, ' ')) end
-- Nothing is written before it is sure that all of it can be; the first to be written is the log.
call('LLEN', key('replay', room))
if #copies > 0 then call('LLEN', logs[3]) end
if #ignored > 0 then call('LLEN', logs[4]) end
-- Where this node's batches are remembered, until it forgets them or is reaped.
if not s.batch then call('SADD', key('batches', NODE), room) end

local begun = false
local function push(log, entries)
  local length = 0
  for from = 1, #entries, 1000 do
    local to = math.min(from + 999, #entries)
    length = call('RPUSH', log, unpack(entries, from, to))
    begun = length == to or begun
  end
  return length
end
local before = push(logs[1], inserts) - #inserts
local index = 0
if #inserts > 0 then
  s.begins = begins(s, before)
  index = s.begins + before
  s.next = index + #inserts
end
for from = 1, #keyed, 1000 do
  for i = from, math.min(from + 999, #keyed), 2 do keyed[i] = decimal(index + keyed[i]) end
  call('ZADD', logs[5], unpack(keyed, from, math.min(from + 999, #keyed)))
end
if #keyed > 0 then call('ZREMRANGEBYRANK', logs[5], 0, -KNOWN_KEYS - 1) end
for from = 1, #updates, 1000 do
  call('HSET', logs[2], unpack(updates, from, math.min(from + 999, #updates)))
end
push(logs[3], copies)
push(logs[4], ignored)

if held then call('HSET', s.at, 'u', string.format('%d %d', held, held_bytes)) end
local blobs = table.concat(ARGV, '', FIRST)
local done = { decimal(s.n + 1), decimal(index), decimal(NOW) }
local batch = number .. ' ' .. table.concat(done, ' ')
local first
if #inserts > 0 then
  first = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, batch, 'next', decimal(s.next), 'begins', decimal(s.begins))
else
  first = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, batch)
end
if (first == 1 or begun or room_expiry > 0) and call('EXISTS', key('members', room)) == 0 then unused(room, room_expiry) end
return { s.epoch, unpack(done) }
