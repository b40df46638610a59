-- What a node has to know within a second, also while the connection that listens is deaf: the last revocation, how user authentication was
-- switched, its connections whose session was taken over, those whose credentials were revoked, and those that an administrator ends;
-- rooms whose log's time is over; and how many jobs are not done.
-- Of what is here for other reasons nothing may keep this from being told.
local jobs = redis.pcall('SCARD', P .. 'ao:jobs')
return {
  call('GET', P .. 'ao:revocations') or '0', user_auth() or '',
  call('SMEMBERS', key('evicted', NODE)), call('SMEMBERS', key('expelled', NODE)), call('SMEMBERS', key('ending', NODE)),
  call('SMEMBERS', key('recheck', NODE)),
  call('ZRANGEBYSCORE', P .. 'ao:expiring', '-inf', NOW, 'LIMIT', 0, 100),
  type(jobs) == 'number' and jobs or 0
}
