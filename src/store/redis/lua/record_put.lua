-- Writes a record. collection, id, what has to be there (`new`, `any` or a version), when it ends in ms since 1970 or '', its version if it is
-- new, what it is found by…, body
-- Returns 1 and its version; or 0 and the version that is there, or '', if that is not as expected.
local collection, id, expected, ends, body = ARGV[6], ARGV[7], ARGV[8], ARGV[9], ARGV[#ARGV]
local late = expired()
if late then return late end
sweep(10)
local at = record_key(collection, id)
local there, last = version_of(at)
if expected == 'new' and there or expected ~= 'new' and expected ~= 'any' and expected ~= there then return { 0, there or '' } end
local version = last and string.format('%d', tonumber(last) + 1) or ARGV[10]
local by = {}
for i = 11, #ARGV - 1 do by[#by + 1] = ARGV[i] end
unfind(collection, id, call('HGET', at, 'k'))
call('HSET', at, 'v', version, 'b', body, 'k', cmsgpack.pack(by), 'x', ends)
call('ZADD', all_of(collection), 0, id)
for _, one in ipairs(by) do call('ZADD', found_by(collection, one), 0, id) end
if ends == '' then
  call('HDEL', at, 'x')
  call('ZREM', DUE, collection .. ':' .. id)
else
  call('ZADD', DUE, ends, collection .. ':' .. id)
end
return { 1, version }
