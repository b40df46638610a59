-- Deletes a record. collection, id, its version, or '' for any. Returns 1, or 0 if there is none.
local late = expired()
if late then return late end
local there = version_of(record_key(ARGV[6], ARGV[7]))
if not there or ARGV[8] ~= '' and ARGV[8] ~= there then return 0 end
remove(ARGV[6], ARGV[7])
return 1
