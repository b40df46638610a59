-- Tells that a user's messages were erased. uid as text, uid as JSON
hook.tell(hook.of_user .. ARGV[6], 'user.erased', ARGV[6], '"uid":' .. ARGV[7])
return 1
