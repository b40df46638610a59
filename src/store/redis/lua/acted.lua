end
-- Whether there is news, in front of the answer. An error stays one.
local answer = act()
if type(answer) == 'table' and answer.err then return answer end
return { news, answer }
