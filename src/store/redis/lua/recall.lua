-- Hides an insert from everybody for ever. room, its key, among how many of the newest inserts it has to be
-- Returns the entry, and, unless it was recalled before, where the order stands and the place; or nothing, if there is no such insert.
local room, insert_key, within = ARGV[6], ARGV[7], tonumber(ARGV[8])
local late = expired()
if late then return late end
local logs = log_keys(room)
local index = call('ZSCORE', logs[5], short(insert_key))
if not index then return {} end
local s = seq(room)
if lapse(s) then return {} end
local length = call('LLEN', logs[1])
local offset = tonumber(index) - begins(s, length)
if offset < math.max(0, length - within) or offset >= length then return {} end
local entry = call('LINDEX', logs[1], offset)
if string.sub(entry, 1, 8) ~= '{"data":' then return { entry } end
call('LLEN', key('replay', room)) -- nothing is written before it is sure that all of it can be
-- Without `data` it is an entry that can't be read to a build that knows of no recalling.
call('LSET', logs[1], offset, '{"recalled":' .. string.sub(entry, 9))
local _, place = emit(s, 1, 'q-,0,' .. #insert_key .. ',r\n' .. insert_key, 'recalled', '')
return { entry, s.epoch, place }
