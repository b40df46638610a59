-- Counts one more in a window that begins with the first. uid, most, length in ms. Returns 0 when the window is used up.
local at = key('rate', ARGV[6])
if tonumber(call('GET', at) or 0) >= tonumber(ARGV[7]) then return 0 end
if call('INCR', at) == 1 then call('PEXPIRE', at, ARGV[8]) end
return 1
