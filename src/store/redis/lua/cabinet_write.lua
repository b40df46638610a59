-- Writes a record as it is. collection, id, version, when it ends in ms since 1970 or '', what it is found by…, body
local collection, id, version, ends, body, by = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[#ARGV], {}
remove(collection, id)
for i = 10, #ARGV - 1 do by[#by + 1] = ARGV[i] end
call('HSET', record_key(collection, id), 'v', version, 'b', body, 'k', cmsgpack.pack(by))
call('ZADD', all_of(collection), 0, id)
for _, one in ipairs(by) do call('ZADD', found_by(collection, one), 0, id) end
if ends ~= '' then
  call('HSET', record_key(collection, id), 'x', ends)
  call('ZADD', DUE, ends, collection .. ':' .. id)
end
return 1
