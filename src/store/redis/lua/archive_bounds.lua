-- What belongs to a room's log beside its entries. room
-- Returns the indexes of offset 0 and of the first insert that is shown, the last place of its order, when it ends in ms since 1970 or '', the name of its
-- order's life or '', and what it was named when it was copied here, or ''.
local b = bounds(ARGV[6])
if b.over and is_life(ARGV[6]) then b.origin, b.from = 0, 0 end -- it is to be forgotten wholly
return { string.format('%d', b.origin), string.format('%d', b.from), string.format('%d', b.n), b.due or '', b.life or '', b.named or '' }
