// What the suite of npm's chat-service is told of its surroundings: the Redis of this run, whose database 1 it empties, and free ports.
const { SUITE_REDIS_URL, SUITE_PORT } = process.env
const redis = { state: 'redis', adapter: 'redis' }

module.exports = {
  cleanupTimeout: 10_000, host: 'ws://127.0.0.1', port: Number(SUITE_PORT), namespace: '/chat-service',
  memoryConfig: { state: 'memory', adapter: 'memory' }, redisConfig: redis, redisConnect: SUITE_REDIS_URL,
  states: [{ state: 'memory', adapter: 'memory' }, redis],
  user1: 'user1', user2: 'user2', user3: 'user3', roomName1: 'room1', roomName2: 'room2',
}
