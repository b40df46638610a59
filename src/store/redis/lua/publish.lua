-- Stores, counts and tells a batch: all of it or nothing.
-- room, number of the batch, what is told, keep backups, room_expiry, most updates of the room, most bytes of them, a letter per entry,
-- receipts (see receipts.rs); then each entry: [id or key,] body.
-- Returns where the order stands, the place of the first entry, the index behind the last insert, the time in seconds and microseconds, and by what
-- the log is named (see receipts.rs); or
-- `kept` and, of each entry that was published before, its place in the batch and what was kept of it.
local room, number, meta, backups, room_expiry, kinds = ARGV[6], ARGV[7], ARGV[8], ARGV[9] == '1', tonumber(ARGV[10]), ARGV[13]
local FIRST = 15
local s = seq(room)
-- The index of offset 0, as `shown` in log.lua has it.
local function origin()
  local from, list = string.match(s.kept or '', '^(%d+) %d+ (%d+)$')
  return from and tonumber(list) == s.begins and from or string.format('%d', s.begins)
end
-- What names a log that begins there: its life and that, or its name, where it was copied here (`named`).
local function by(start)
  local life = string.match(s.epoch, '^%d+')
  local of, at, name = string.match(s.named or '', '^(%d+) (%d+) (%d+)$')
  if of == life and at == start then return '=' .. name end
  return life .. ' ' .. start
end
if s.batch and string.match(s.batch, '^%d+') == number then
  local seconds, micros, next, first = string.match(s.batch, ' (%d+) (%d+) (%d+) (%d+)$')
  -- What a build wrote that noted no origin has five numbers.
  return { s.epoch, first, next, seconds, micros, by(string.match(s.batch, '^%d+ (%d+) %d+ %d+ %d+ %d+$') or origin()) }
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

-- What is to be done once: place, key and what is to be kept. What was done before the caller takes out.
local once = {}
if ARGV[14] ~= '' then
  local text, kept = ARGV[14], { 'kept' }
  local ms, at = string.match(text, '^(%d+) ()')
  once.ms = ms
  while at <= #text do
    local place, key_length, length, from = string.match(text, '^(%d+) (%d+) (%d+) ()', at)
    local middle = from + key_length
    at = middle + length
    local one = { place = tonumber(place), key = key('receipt', string.sub(text, from, middle - 1)), kept = string.sub(text, middle, at - 1) }
    once[#once + 1] = one
    local before = call('GET', one.key)
    if before then kept[#kept + 1], kept[#kept + 2] = place, before end
  end
  if #kept > 1 then
    -- Counters that were made for nothing do not stay.
    if s.n == 0 and call('EXISTS', key('members', room)) == 0 then unused(room, 0) end
    return kept
  end
end

-- The log's time is over, and what comes now is to live on.
if s.due > 0 and s.due <= NOW then return redis.error_reply('AODUE the log has to be forgotten first') end

local tail, opened = ',"ts":' .. clock[1] .. '}', ',"ts":' .. clock[1] .. ',"n":'
-- The original's entries know seconds; it never reads those of rooms that no client of it can name.
local insert_tail = string.byte(room) == 1 and ',"ts":' .. clock[1] .. ',"ms":' .. NOW .. '}' or tail
local log, log_of_updates = P .. 'msg_' .. room .. '_insert', P .. 'msg_' .. room .. '_update'
local inserts, updates, copies, ignored, at = {}, {}, {}, {}, FIRST
-- Places of what is neither stored nor told, each with the reason: f(ull), d(uplicate).
local refused = {}

-- Inserts with a key: which of the batch's inserts each is, and its key; by key, where that stands; how many keys the room knew before.
local keys, keyed, keyed_at, known

-- What the room's updates take, with those of the batch.
local held, held_bytes, sizes, bodies, most, most_bytes
local function admit(place, id, body, entry)
  if not held then
    held, held_bytes = update_size(s.at, log_of_updates)
    sizes, bodies, most, most_bytes = {}, {}, tonumber(ARGV[11]), tonumber(ARGV[12])
  end
  local old = sizes[id] or call('HSTRLEN', log_of_updates, id)
  local new, bytes = held + (old == 0 and 1 or 0), held_bytes - old + #entry
  if new > most or bytes > most_bytes then
    -- What is not larger than what it replaces may come in any case. Entries differ in what stands around the message.
    local was = bodies[id]
    if not was and old > 0 then
      local text = call('HGET', log_of_updates, id)
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
    local insert_key = short(ARGV[at])
    at = at + 1
    if not keyed then keys, keyed, keyed_at = key('keys', room), {}, {} end
    -- Whether one of the newest inserts with a key has this one: in this batch, or before it.
    local before = keyed_at[insert_key]
    local is_known = before and #keyed - before < 2 * KNOWN_KEYS
    local rank = not is_known and call('ZRANK', keys, insert_key)
    if rank then
      known = known or call('ZCARD', keys)
      is_known = known - rank - 1 + #keyed / 2 < KNOWN_KEYS
        -- Somebody else may have deleted the log.
        and tonumber(call('ZSCORE', keys, insert_key)) >= math.max(s.begins, s.next - call('LLEN', log))
    end
    if is_known then
      refused[#refused + 1] = 'd' .. i
    else
      keyed[#keyed + 1] = #inserts
      keyed[#keyed + 1] = insert_key
      keyed_at[insert_key] = #keyed
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
if #copies > 0 then call('LLEN', P .. 'msg_' .. room .. '_update_backup') end
if #ignored > 0 then call('LLEN', P .. 'msg_' .. room .. '_ignore') end
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
local next
if #inserts > 0 then
  -- Others write there and delete it as well, and have counted nothing: an index that was given is not given again.
  local before = push(log, inserts) - #inserts
  if s.begins + before < s.next then s.begins = s.next - before end
  local index = s.begins + before
  s.index, next = string.format('%d', index), string.format('%d', index + #inserts)
  if keyed then
    for from = 1, #keyed, 1000 do
      local to = math.min(from + 999, #keyed)
      for i = from, to, 2 do keyed[i] = index + keyed[i] end
      call('ZADD', keys, unpack(keyed, from, to))
    end
    call('ZREMRANGEBYRANK', keys, 0, -KNOWN_KEYS - 1)
  end
end
for from = 1, #updates, 1000 do
  call('HSET', log_of_updates, unpack(updates, from, math.min(from + 999, #updates)))
end
if #copies > 0 then push(P .. 'msg_' .. room .. '_update_backup', copies) end
if #ignored > 0 then push(P .. 'msg_' .. room .. '_ignore', ignored) end

if held then call('HSET', s.at, 'u', string.format('%d %d', held, held_bytes)) end
local blobs = table.concat(ARGV, '', FIRST, at - 1)
local start = origin()
local batch, first, place = number .. ' ' .. start .. ' ' .. clock[1] .. ' ' .. clock[2] .. ' ' .. (next or '0') .. ' '
if next then
  first, place = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, batch, 'next', s.begins > 0 and next .. ' ' .. string.format('%d', s.begins) or next)
else
  first, place = emit(s, #kinds, meta .. '\n' .. blobs, 'b:' .. NODE, batch)
end
if #once > 0 then
  local at, index, named_by = 1, next and next - #inserts, by(start)
  for _, one in ipairs(once) do
    while at < one.place do
      if string.find(kinds, '^[ik]', at) then index = index + 1 end
      at = at + 1
    end
    local text = string.find(kinds, '^[ik]', at) and string.format('%d', index) or '-'
    call('SET', one.key, string.format('%d %s %d %s', first + at - 1, text, NOW, named_by) .. '\n' .. one.kept, 'PX', once.ms)
  end
end
-- Behind the entries, where anybody is told of them: of each that is stored the uid as text, the fields before the message, and what stands for a
-- message that is no JSON; no fields, where nobody is told of it.
if hook and at < #ARGV then
  local index, part = next and tonumber(next) - #inserts, FIRST
  for i = 1, #kinds do
    local kind = string.sub(kinds, i, i)
    if kind == 'u' or kind == 'k' then part = part + 1 end
    if kind == 'u' or kind == 'i' or kind == 'k' then
      local uid, fields, message = ARGV[at], ARGV[at + 1], ARGV[at + 2]
      local place = ''
      if kind ~= 'u' then
        place = ',"index":' .. string.format('%d', index)
        index = index + 1
      end
      if message == '' then message = ARGV[part] end
      if fields ~= '' then
        hook.tell(room, kind == 'u' and 'message.updated' or 'message.inserted', uid, fields .. place .. ',"message":' .. message)
      end
      at = at + 3
    end
    part = part + 1
  end
end
if (first == 1 or begun or room_expiry > 0) and call('EXISTS', key('members', room)) == 0 then unused(room, room_expiry) end
return { s.epoch, place, next or '0', clock[1], clock[2], by(start) }
