-- Deletes a batch that can't be read; its room is told of a gap, if it was not yet. endpoint, id, the bytes that may wait, or ''. Returns 1, or 0 if there is
-- none.
local endpoint, id = ARGV[6], ARGV[7]
if call('EXISTS', queue('batch', endpoint, id)) == 0 then return 0 end
if call('ZREM', key('hooks:parked', endpoint), id) == 1 then forget_batch(endpoint, id) else drop_frozen(endpoint, id) end
give_up(endpoint, 1)
if ARGV[8] ~= '' then fold(endpoint, tonumber(ARGV[8])) end
return 1
