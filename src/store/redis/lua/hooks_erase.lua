-- Takes a user's messages out of the events that are still to be told of a room. room, uid as text
-- Returns how many have changed, and of the room's batches, frozen and parked ones: endpoint, id, body. Those are changed by another script.
local room, uid = ARGV[6], ARGV[7]
local changed, batches = 0, {}
for _, endpoint in ipairs(call('SMEMBERS', P .. 'ao:hooks:endpoints')) do
  local list, from = queue('events', endpoint, room), 0
  while true do
    local items = call('LRANGE', list, from, from + 99)
    for i, item in ipairs(items) do
      local head, kind, length = string.match(item, '^(%d+ %d+ %d+ (%S+) (%d+)\n)')
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
    if #items < 100 then break end
    from = from + 100
  end
  local ids = call('LRANGE', queue('batches', endpoint, room), 0, -1)
  for _, id in ipairs(call('ZRANGE', key('hooks:parked', endpoint), 0, -1)) do
    if call('HGET', queue('batch', endpoint, id), 'room') == room then ids[#ids + 1] = id end
  end
  for _, id in ipairs(ids) do
    local body = call('HGET', queue('batch', endpoint, id), 'body')
    if body then batches[#batches + 1] = { endpoint, id, body } end
  end
end
return { changed, batches }
