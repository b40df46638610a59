-- What the scripts have beside common.lua that know of the switch of user authentication.

-- How user authentication was switched: '0' or '1' and a serial number; nil: it was not. The flag stands alone in its key: a build that knew of no
-- serial numbers takes anything but '1' for off.
local function user_auth()
  local flag = call('GET', P .. 'ao:user_auth')
  return flag and flag .. ' ' .. (call('GET', P .. 'ao:user_auth_serial') or '0')
end

local function set_user_auth(switch)
  local flag, serial = string.match(switch, '^([01]) (%d+)$')
  call('MSET', P .. 'ao:user_auth', flag, P .. 'ao:user_auth_serial', serial)
end
