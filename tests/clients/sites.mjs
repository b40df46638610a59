// What the tests run against. Each has the same interface: that of `Server`.
import { startCluster } from './cluster.mjs'
import { startServer } from './server.mjs'

/** Both, or those whose name contains AO_SITES ("cluster"): to look at one of them closely. */
export const SITES = [
  { name: 'one server', start: startServer, clustered: false },
  { name: 'a cluster', start: startCluster, clustered: true },
].filter(({ name }) => name.includes(process.env.AO_SITES ?? ''))
