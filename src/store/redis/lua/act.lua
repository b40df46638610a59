-- What a script does that may tell webhooks. `acted.lua` ends it.
local function act()
