-- What the scripts of records have beside common.lua. Ids are kept in sets whose members have one score, so they are in the order of their bytes.

local DUE = P .. 'ao:records:due'

local function record_key(collection, id) return key('record', collection .. ':' .. id) end

local function all_of(collection) return key('records:all', collection) end

-- The records that have a value in an index; `by` is both, with a colon between.
local function found_by(collection, by) return key('records:by', collection .. ':' .. by) end

-- Takes what a record is found by out of the indexes.
local function unfind(collection, id, packed)
  if not packed then return end
  for _, by in ipairs(cmsgpack.unpack(packed)) do call('ZREM', found_by(collection, by), id) end
end

local function remove(collection, id)
  local at = record_key(collection, id)
  unfind(collection, id, call('HGET', at, 'k'))
  call('UNLINK', at)
  call('ZREM', all_of(collection), id)
  call('ZREM', DUE, collection .. ':' .. id)
end

-- Ends some of the records whose time is over. Returns how many.
local function sweep(most)
  local due = call('ZRANGEBYSCORE', DUE, '-inf', NOW, 'LIMIT', 0, most)
  for _, name in ipairs(due) do
    local collection, id = string.match(name, '^([^:]*):(.*)$')
    if collection then remove(collection, id) end
    call('ZREM', DUE, name)
  end
  return #due
end

-- The version of a record, unless its time is over.
local function version_of(at)
  local found = call('HMGET', at, 'v', 'x')
  if found[2] and tonumber(found[2]) <= NOW then return nil, found[1] end
  return found[1], found[1]
end

