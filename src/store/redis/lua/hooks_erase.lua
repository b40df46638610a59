-- Takes a user's messages out of the events that are still to be told of a room to an endpoint, some of them: they may be many, and others wait. One that
-- can't be read may be the user's, and goes. endpoint, room, uid as text, n of the last event that was looked at before, or -1
-- Returns how many have changed, how many are gone, n of the last event that was looked at, or '' at the end; and then ids of the room's batches, frozen and
-- parked ones. Those are changed by another script.
local endpoint, room, uid, after = ARGV[6], ARGV[7], ARGV[8], tonumber(ARGV[9])
local AT_ONCE = 500
local list = queue('events', endpoint, room)
-- Events are in the order of their numbers. Those in front may be frozen by now.
local from, behind = 0, after < 0 and 0 or call('LLEN', list)
while from < behind do
  local middle = math.floor((from + behind) / 2)
  local _, n = head_of(call('LINDEX', list, middle))
  if n and n <= after then from = middle + 1 else behind = middle end
end
local changed, gone, last = 0, 0, after
local items = call('LRANGE', list, from, from + AT_ONCE - 1)
for i, item in ipairs(items) do
  local head, n, kind, length = string.match(item, '^(%d+ (%d+) %d+ (%S+) (%d+)\n)')
  if not head then
    call('LSET', list, from + i - 1, '')
    resize(endpoint, -#item - OVERHEAD)
    gone = gone + 1
  else
    last = tonumber(n)
    local fields = #head + tonumber(length)
    if string.sub(kind, 1, 8) == 'message.' and string.sub(item, #head + 1, fields) == uid then
      local _, message = string.find(item, ',"message":', fields, true)
      if message and string.sub(item, message + 1) ~= 'null' then
        call('LSET', list, from + i - 1, string.sub(item, 1, message) .. 'null')
        resize(endpoint, message + 4 - #item)
        changed = changed + 1
      end
    end
  end
end
if gone > 0 then
  call('LREM', list, 0, '')
  give_up(endpoint, gone)
  behead(endpoint, room)
end
if #items == AT_ONCE then return { changed, gone, digits(last) } end
local answer, seen = { changed, gone, '' }, {}
for _, ids in ipairs({ call('LRANGE', queue('batches', endpoint, room), 0, -1), call('SMEMBERS', queue('aside', endpoint, room)) }) do
  for _, id in ipairs(ids) do
    if not seen[id] then
      seen[id] = true
      answer[#answer + 1] = id
    end
  end
end
return answer
