-- What is kept for nodes that were cut off has something that is erased. It goes: they take that for a loss. room
local late = expired()
if late then return late end
call('UNLINK', key('replay', ARGV[6]))
return 0
