-- Switches user authentication on all nodes. 1 or 0
call('SET', P .. 'ao:user_auth', ARGV[6])
call('PUBLISH', C .. 'all', 'auth ' .. ARGV[6])
return 0
