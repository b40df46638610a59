// The chart, rendered by Helm (HELM_BIN) with several values: what comes out is checked against the schemas of Kubernetes, and where two places have to agree,
// whether they do. No cluster is asked.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { attempt, binary, ROOT, run, yaml } from './binary.mjs'

const CHART = join(ROOT, 'deploy/helm/always-online')
/** The oldest that Chart.yaml takes, and one that is new. */
const KUBERNETES = ['1.30', '1.37']
const STORES = { AO_STORE__MESSAGES: 'redis://redis:6379', AO_STORE__TOKENS: 'mongodb://mongodb/' }
const SERVERS = { store: 'servers', secrets: { values: STORES } }
const secret = byte => `whsec_${Buffer.alloc(24, byte).toString('base64')}`
const EVERYTHING = {
  store: 'servers',
  secrets: { values: { ...STORES, AO_WECHAT__JWT_SECRET: 'known to all instances', AO_WECHAT__TURN_SECRET: 'known to coturn', AO_TINODE__S3_SECRET: 'known to S3' } },
  image: { repository: 'registry.example/always-online', tag: '7' },
  imagePullSecrets: [{ name: 'registry' }],
  settings: {
    compat: 'deployed',
    websocket: { origins: ['https://chat.example', 'https://board.example'] },
    limits: { connections: 2_000_000, messages: '50 in 1s' },
    store: { backups: true },
    wechat: { turn_urls: ['turn:turn.example:3478', 'turns:turn.example:5349?transport=tcp'], turn_lifetime: '2h', origins: ['https://phone.example'] },
    tinode: { s3_endpoint: 'https://s3.example', s3_region: 'eu-central-1', s3_bucket: 'talk', s3_key: 'AKIAEXAMPLE', file_types: ['image/*', 'text/plain'], max_subscribers: 64 },
    webhook: {
      url: 'https://business.example/"hooks"', secret: secret(7),
      orders: { url: 'https://orders.example/', secret: secret(8) },
    },
  },
  drain: { seconds: 45, credentialSecret: 'drain' },
  websocket: { type: 'LoadBalancer', annotations: { a: 'b' } },
  gotapi: { enabled: true },
  wechat: {
    enabled: true, type: 'LoadBalancer', annotations: { e: 'f' },
    ingress: { enabled: true, className: 'nginx', hosts: ['phone.example', 'tablet.example'], tlsSecret: 'phone-tls' },
  },
  tinode: {
    enabled: true, grpc: true, type: 'LoadBalancer', annotations: { g: 'h' },
    ingress: { enabled: true, className: 'nginx', hosts: ['talk.example'], tlsSecret: 'talk-tls' },
  },
  ingress: { enabled: true, className: 'nginx', hosts: ['chat.example'], tlsSecret: 'chat-tls' },
  autoscaling: { enabled: true },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true },
  networkPolicy: { enabled: true, api: [{ podSelector: {} }], metrics: [{ namespaceSelector: {} }] },
  serviceAccount: { name: 'chat' },
  podAnnotations: { a: 'b' }, podLabels: { c: 'd' }, nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'chat', operator: 'Exists' }],
  affinity: { nodeAffinity: {} },
  extraVolumes: [{ name: 'certificates', secret: { secretName: 'chat-tls' } }],
  extraVolumeMounts: [{ name: 'certificates', mountPath: '/etc/certificates', readOnly: true }],
}

let folder
before(async () => {
  if (!process.env.HELM_BIN) throw new Error('HELM_BIN names no Helm: run scripts/test ship')
  folder = await mkdtemp(join(tmpdir(), 'always-online-chart-'))
})
after(() => rm(folder, { recursive: true, force: true }))

/** Helm's own folders are not to be those of whoever runs this. */
const helm = (...args) => attempt(process.env.HELM_BIN, args, { env: { PATH: process.env.PATH, HOME: folder } })

async function template(values, chart = CHART) {
  const file = join(folder, 'values.yaml')
  await writeFile(file, JSON.stringify(values))
  return helm('template', 'chat', chart, '--namespace', 'rooms', '--values', file)
}

const made = new Map()

/** What the chart makes of these values. Whoever asks for the same again gets the same: to check it against the schemas takes seconds. */
async function rendered(values = {}, chart = CHART) {
  const key = JSON.stringify([values, chart])
  if (!made.has(key)) {
    const { code, out, err } = await template(values, chart)
    assert.equal(code, 0, err)
    made.set(key, await yaml(out, KUBERNETES))
  }
  return made.get(key)
}

const of = (manifests, kind, name) => manifests.find(one => one.kind === kind && (!name || one.metadata.name === name))
const workload = manifests => of(manifests, 'Deployment') ?? of(manifests, 'StatefulSet')
const pod = manifests => workload(manifests).spec.template
const container = manifests => pod(manifests).spec.containers[0]
const settings = manifests => of(manifests, 'Secret', 'chat-always-online-settings').stringData['always-online.toml']
/** The secret with the environment, if there is one. */
const variables = manifests => of(manifests, 'Secret', 'chat-always-online')

test('Helm finds nothing wrong with it', async () => {
  for (const values of [{}, SERVERS, EVERYTHING]) {
    const file = join(folder, 'lint.yaml')
    await writeFile(file, JSON.stringify(values))
    const { code, out, err } = await helm('lint', '--strict', CHART, '--values', file)
    assert.equal(code, 0, out + err)
  }
})

test('its version is that of the server', async () => {
  const [chart] = await yaml(await readFile(join(CHART, 'Chart.yaml'), 'utf8'))
  const [, version] = /^\[package\][^[]*?^version = "([^"]+)"$/ms.exec(await readFile(join(ROOT, 'Cargo.toml'), 'utf8'))
  assert.equal(chart.appVersion, version)
  assert.equal(container(await rendered()).image, `always-online:${version}`)
})

for (const [name, values] of Object.entries({ 'one instance': {}, 'several instances': SERVERS, everything: EVERYTHING })) {
  test(`what belongs together fits together: ${name}`, async () => {
    const manifests = await rendered(values)
    const { labels } = pod(manifests).metadata
    const ports = new Set(container(manifests).ports.map(port => port.name))
    const selects = selector => {
      assert(Object.keys(selector).length > 0)
      for (const [label, value] of Object.entries(selector)) assert.equal(labels[label], value, label)
    }
    selects(workload(manifests).spec.selector.matchLabels)
    for (const one of manifests) {
      if (one.kind === 'Service') {
        selects(one.spec.selector)
        for (const port of one.spec.ports) assert(ports.has(port.targetPort), `${one.metadata.name}: ${port.targetPort}`)
      }
      if (one.kind === 'PodDisruptionBudget') selects(one.spec.selector.matchLabels)
      if (one.kind === 'NetworkPolicy') {
        selects(one.spec.podSelector.matchLabels)
        for (const rule of one.spec.ingress) for (const { port } of rule.ports) assert(ports.has(port), port)
      }
      if (one.kind === 'HorizontalPodAutoscaler') assert.equal(one.spec.scaleTargetRef.name, workload(manifests).metadata.name)
      if (one.kind === 'Ingress') {
        for (const { http } of one.spec.rules) {
          for (const { backend: { service } } of http.paths) {
            assert(of(manifests, 'Service', service.name).spec.ports.some(port => port.name === service.port.name), service.name)
          }
        }
      }
      if (one.kind === 'ServiceMonitor') {
        const chosen = manifests.filter(({ kind, metadata }) => kind === 'Service' &&
          Object.entries(one.spec.selector.matchLabels).every(([label, value]) => metadata.labels[label] === value))
        assert.equal(chosen.length, 1)
        assert(chosen[0].spec.ports.some(port => port.name === one.spec.endpoints[0].port))
      }
    }
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
      const { path, port } = container(manifests)[probe].httpGet
      assert(ports.has(port), probe)
      assert.equal(path, probe === 'readinessProbe' ? '/readyz' : '/livez')
    }
    const volumes = [...pod(manifests).spec.volumes, ...(workload(manifests).spec.volumeClaimTemplates ?? []).map(claim => claim.metadata)]
    for (const mount of container(manifests).volumeMounts) assert(volumes.some(volume => volume.name === mount.name), mount.name)
    const { secret: { secretName } } = pod(manifests).spec.volumes.find(volume => volume.name === 'settings')
    assert(of(manifests, 'Secret', secretName))
    for (const { secretRef } of container(manifests).envFrom ?? []) assert(of(manifests, 'Secret', secretRef.name))
    if (workload(manifests).kind === 'StatefulSet') assert(of(manifests, 'Service', workload(manifests).spec.serviceName))
  })

  test(`the server takes the settings: ${name}`, async () => {
    const manifests = await rendered(values)
    const file = join(folder, 'always-online.toml')
    await writeFile(file, settings(manifests))
    // As in the pod: the image's environment, and the secrets.
    const env = { AO_STORE__PATH: '/data', AO_API__LISTEN: '0.0.0.0:4000', ...variables(manifests)?.stringData }
    const args = ['--config', file]
    const checked = await attempt(binary(), [...args, 'check-config'], { env })
    assert.equal(checked.code, 0, `${checked.err}\n${settings(manifests)}`)
    const printed = await run(binary(), [...args, 'print-config'], { env })
    const sections = [...printed.matchAll(/^\[(\w+)\]\n((?:(?!\[).*\n)*)/gm)]
    const listens = Object.fromEntries(sections.flatMap(([, section, lines]) =>
      [...lines.matchAll(/^(?:(\w+)_)?listen = "[^"]*:(\d+)"/gm)].map(([, part, port]) => [part ? `${section}-${part}` : section, port])))
    const open = Object.fromEntries(container(manifests).ports.map(port => [port.name, String(port.containerPort)]))
    assert.deepEqual(listens, open)
  })

  test(`it may do nothing that it need not: ${name}`, async () => {
    const { spec } = pod(await rendered(values))
    assert.equal(spec.securityContext.runAsNonRoot, true)
    assert.equal(spec.automountServiceAccountToken, false)
    const { securityContext } = spec.containers[0]
    assert.deepEqual(securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
  })
}

test('one instance keeps its data in a volume, and there is never a second one', async () => {
  const { kind, spec } = workload(await rendered({ persistence: { size: '3Gi', storageClass: 'fast' } }))
  assert.deepEqual([kind, spec.replicas], ['StatefulSet', 1])
  assert.deepEqual(spec.volumeClaimTemplates[0].spec, { accessModes: ['ReadWriteOnce'], storageClassName: 'fast', resources: { requests: { storage: '3Gi' } } })
  assert.equal(of(await rendered({ autoscaling: { enabled: true }, replicas: 5 }), 'HorizontalPodAutoscaler'), undefined)
})

test('several instances are replaced one by one, none before its successor is ready', async () => {
  const manifests = await rendered({ ...SERVERS, replicas: 3 })
  const { kind, spec } = workload(manifests)
  assert.deepEqual([kind, spec.replicas, spec.strategy.rollingUpdate], ['Deployment', 3, { maxUnavailable: 0, maxSurge: 1 }])
  assert.equal(of(manifests, 'PodDisruptionBudget').spec.maxUnavailable, 1)
  // An autoscaler's number is not overwritten.
  assert.equal(workload(await rendered({ ...SERVERS, autoscaling: { enabled: true } })).spec.replicas, undefined)
})

test('clients are sent elsewhere before an instance ends, by a command that there is, and in the time that it takes', async () => {
  const manifests = await rendered({ ...SERVERS, drain: { seconds: 45, credentialSecret: 'drain' }, shutdownSeconds: 20 })
  const [program, ...words] = container(manifests).lifecycle.preStop.exec.command
  assert.equal(program, '/usr/local/bin/always-online')
  // 10 s is what `drain --wait` waits longer than it gives clients.
  assert(pod(manifests).spec.terminationGracePeriodSeconds >= 45 + 10 + 20 + 1)
  const credential = words[words.indexOf('--credential') + 1]
  const mount = container(manifests).volumeMounts.find(mount => credential.startsWith(`${mount.mountPath}/`))
  const volume = pod(manifests).spec.volumes.find(volume => volume.name === mount.name)
  assert.equal(volume.secret.secretName, 'drain')
  // The command with its flags, against a server that is not there: it is understood, and fails by that.
  const file = join(folder, 'drain.toml')
  await writeFile(file, '[api]\nlisten = "127.0.0.1:9"\n')
  await writeFile(join(folder, 'credential'), 'uid: drain\ntoken: x\n')
  const given = words.map(word => ({ '/etc/always-online/always-online.toml': file, [credential]: join(folder, 'credential') })[word] ?? word)
  const { code, err } = await attempt(binary(), given, { env: {} })
  assert.equal(code, 1, err)
  assert.match(err, /127\.0\.0\.1:9/)
})

test('without credentials an instance waits until nobody sends newcomers, and has the time to end', async () => {
  for (const values of [{}, SERVERS]) {
    const manifests = await rendered({ ...values, shutdownSeconds: 30 })
    const { seconds } = container(manifests).lifecycle.preStop.sleep
    assert(pod(manifests).spec.terminationGracePeriodSeconds >= seconds + 30 + 1)
    assert.match(settings(manifests), /deadline = "30s"/)
  }
})

test('nobody from outside reaches the API, administration, metrics or gotapi-ws', async () => {
  const manifests = await rendered(EVERYTHING)
  const outside = manifests.filter(({ kind, spec }) => kind === 'Service' && spec.type === 'LoadBalancer')
  assert.deepEqual(outside.flatMap(({ spec }) => spec.ports.map(port => port.targetPort)), ['websocket', 'wechat', 'tinode', 'tinode-grpc'])
  assert.deepEqual(of(manifests, 'Service', 'chat-always-online-gotapi').spec.ports.map(port => port.targetPort), ['gotapi'])
  const ways = manifests.filter(({ kind }) => kind === 'Ingress').flatMap(({ spec }) => spec.rules)
    .map(({ host, http }) => [host, ...http.paths.map(({ path, backend: { service } }) => `${path} to ${service.name}`)])
  assert.deepEqual(ways, [
    ['chat.example', '/socket.io/ to chat-always-online'],
    ...['phone.example', 'tablet.example'].map(host => [host, '/wechat/ to chat-always-online-wechat', '/api/ to chat-always-online-wechat']),
    ['talk.example', '/v0/ to chat-always-online-tinode'],
  ])
  const { ingress } = of(manifests, 'NetworkPolicy').spec
  const open = ingress.filter(rule => !rule.from).flatMap(rule => rule.ports.map(({ port }) => port))
  assert.deepEqual(open, ['websocket', 'wechat', 'tinode', 'tinode-grpc'])
  const reachable = manifests => of(manifests, 'NetworkPolicy').spec.ingress.flatMap(rule => rule.ports.map(({ port }) => port)).sort()
  assert.deepEqual(reachable(manifests), ['api', 'metrics', 'tinode', 'tinode-grpc', 'websocket', 'wechat'], 'the others are for those who are named')
  const named = { ...EVERYTHING, networkPolicy: { enabled: true, admin: [{ podSelector: {} }], gotapi: [{ podSelector: {} }] } }
  assert.deepEqual(reachable(await rendered(named)), ['admin', 'gotapi', 'tinode', 'tinode-grpc', 'websocket', 'wechat'])
  assert.deepEqual(reachable(await rendered({ ...named, gotapi: { enabled: false }, wechat: { enabled: false }, tinode: { enabled: false } })), ['admin', 'websocket'])
  const from = [{ ipBlock: { cidr: '10.0.0.0/8' } }]
  for (const name of ['wechat', 'tinode']) {
    const bounded = of(await rendered({ [name]: { enabled: true }, networkPolicy: { enabled: true, [name]: from } }), 'NetworkPolicy').spec.ingress
    assert.deepEqual(bounded, [{ ports: [{ port: 'websocket' }] }, { ports: [{ port: name }], from }])
  }
})

test('react-wechat is there where it is enabled, at a service and behind hosts of its own', async () => {
  const off = await rendered({ wechat: { ingress: { enabled: true, hosts: ['phone.example'] } }, settings: { wechat: { rate_limit: 'off' } } })
  assert.equal(of(off, 'Service', 'chat-always-online-wechat'), undefined)
  assert.equal(of(off, 'Ingress'), undefined)
  assert(!container(off).ports.some(({ name }) => name === 'wechat'))
  const on = await rendered(EVERYTHING)
  const { metadata, spec } = of(on, 'Service', 'chat-always-online-wechat')
  assert.deepEqual([spec.ports.map(({ port }) => port), metadata.annotations, spec.sessionAffinity], [[3002], { e: 'f' }, undefined])
  const { tls, ingressClassName } = of(on, 'Ingress', 'chat-always-online-wechat').spec
  assert.deepEqual([tls, ingressClassName], [[{ secretName: 'phone-tls', hosts: ['phone.example', 'tablet.example'] }], 'nginx'])
  // Paths have tokens in them.
  assert.equal(of(on, 'Ingress', 'chat-always-online-wechat').metadata.annotations['nginx.ingress.kubernetes.io/enable-access-log'], 'false')
  // One instance makes its own secret; several have to be given one, which may be among the settings.
  await rendered({ wechat: { enabled: true } })
  await rendered({ ...SERVERS, wechat: { enabled: true }, settings: { wechat: { jwt_secret: 'known to all' } } })
  await rendered({ store: 'servers', wechat: { enabled: true }, secrets: { existingSecret: 'mine' } })
})

test('Tinode is there where it is enabled, with gRPC where that is, and with files that all instances have', async () => {
  const off = await rendered({ tinode: { grpc: true, ingress: { enabled: true, hosts: ['talk.example'] } }, settings: { tinode: { max_file: '1MiB' } } })
  assert.equal(of(off, 'Service', 'chat-always-online-tinode'), undefined)
  assert.equal(of(off, 'Ingress'), undefined)
  assert(!container(off).ports.some(({ name }) => name.startsWith('tinode')))
  const on = await rendered(EVERYTHING)
  const { metadata, spec } = of(on, 'Service', 'chat-always-online-tinode')
  assert.deepEqual([spec.ports.map(({ port }) => port), metadata.annotations, spec.sessionAffinity], [[6060, 16060], { g: 'h' }, undefined])
  const { metadata: { annotations }, spec: { tls } } = of(on, 'Ingress', 'chat-always-online-tinode')
  assert.deepEqual(tls, [{ secretName: 'talk-tls', hosts: ['talk.example'] }])
  // A poll is held for 49.5 s, and a file has 8 MiB.
  assert(Number(annotations['nginx.ingress.kubernetes.io/proxy-read-timeout']) > 60)
  assert(parseInt(annotations['nginx.ingress.kubernetes.io/proxy-body-size']) > 8)
  const plain = await rendered({ tinode: { enabled: true } })
  assert.deepEqual(of(plain, 'Service', 'chat-always-online-tinode').spec.ports.map(port => port.targetPort), ['tinode'])
  // Files on their way to S3 have a place, though nothing else can be written.
  assert(container(on).volumeMounts.some(({ name, mountPath }) => name === 'uploads' && mountPath === '/data/tinode-uploads'))
  const shared = { settings: { tinode: { files: '/files' } }, extraVolumes: [{ name: 'files', persistentVolumeClaim: { claimName: 'files' } }], extraVolumeMounts: [{ name: 'files', mountPath: '/files' }] }
  await rendered({ ...SERVERS, tinode: { enabled: true }, ...shared })
  await rendered({ store: 'servers', tinode: { enabled: true }, secrets: { values: { ...STORES, AO_TINODE__S3_ENDPOINT: 'https://s3.example' } } })
})

test('a client keeps its address on its way in', async () => {
  for (const [type, policy] of [['ClusterIP', undefined], ['NodePort', 'Local'], ['LoadBalancer', 'Local']]) {
    const manifests = await rendered({ websocket: { type }, wechat: { enabled: true, type }, tinode: { enabled: true, type } })
    for (const name of ['chat-always-online', 'chat-always-online-wechat', 'chat-always-online-tinode']) {
      const { spec } = of(manifests, 'Service', name)
      assert.deepEqual([spec.type, spec.externalTrafficPolicy], [type, policy], name)
    }
  }
})

test('secrets are in a secret, and nowhere else', async () => {
  const { out } = await template({ ...SERVERS, secrets: { values: { ...STORES, AO_JWT__SECRET: 'very-secret' } } })
  const manifests = await yaml(out)
  const holding = manifests.filter(one => JSON.stringify(one).includes('very-secret')).map(one => one.kind)
  assert.deepEqual(holding, ['Secret'])
  // Those in the settings are of endpoints of webhooks.
  const others = (await rendered(EVERYTHING)).filter(({ kind }) => kind !== 'Secret')
  assert(settings(await rendered(EVERYTHING)).includes(secret(8)))
  for (const one of others) for (const part of ['whsec_', 'known to']) assert(!JSON.stringify(one).includes(part), `${one.kind} ${one.metadata.name}`)
  const own = await rendered({ store: 'servers', secrets: { existingSecret: 'mine' } })
  assert.equal(variables(own), undefined)
  assert.equal(container(own).envFrom[0].secretRef.name, 'mine')
})

test('the alert rules are those of deploy/prometheus, in the packed chart, too', async () => {
  const packed = await helm('package', CHART, '--destination', folder)
  assert.equal(packed.code, 0, packed.err)
  const archive = /saved it to: (\S+)/.exec(packed.out)[1]
  const [rules] = await yaml(await readFile(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8'))
  for (const chart of [CHART, archive]) {
    assert.deepEqual(of(await rendered({ prometheusRule: { enabled: true } }, chart), 'PrometheusRule').spec, rules)
  }
  const monitor = of(await rendered({ serviceMonitor: { enabled: true } }, archive), 'ServiceMonitor')
  assert.deepEqual(monitor.spec.endpoints[0].relabelings, [{ targetLabel: 'job', replacement: 'always-online' }])
})

test('with a certificate the probes ask by TLS', async () => {
  const manifests = await rendered({ settings: { websocket: { tls_certificate: '/etc/certificates/tls.crt', tls_key: '/etc/certificates/tls.key' } } })
  assert.equal(container(manifests).readinessProbe.httpGet.scheme, 'HTTPS')
  assert.match(of(manifests, 'Pod').spec.containers[0].args[1], /^https:/)
  assert.equal(container(await rendered()).readinessProbe.httpGet.scheme, 'HTTP')
})

test('wrong values are refused, and named', async () => {
  const wrong = [
    [{ store: 'redis' }, '/store'],
    [{ replicas: 0 }, '/replicas'],
    [{ replica: 3 }, "'replica'"],
    [{ image: { tag: 7 } }, '/image/tag'],
    [{ settings: { websocket: { listen: ':80' } } }, '/settings/websocket/listen'],
    [{ settings: { store: { messages: 'redis://redis' } } }, '/settings/store/messages'],
    [{ settings: { shutdown: { deadline: '5s' } } }, '/settings/shutdown/deadline'],
    [{ settings: { limits: 'none' } }, '/settings/limits'],
    [{ secrets: { values: { PASSWORD: 'x' } } }, 'PASSWORD'],
    [{ persistence: { size: 'large' } }, '/persistence/size'],
    [{ websocket: { sessionAffinity: 'Cookie' } }, '/websocket/sessionAffinity'],
    [{ ingress: { enabled: true } }, '/ingress/hosts'],
    [{ settings: { wechat: { listen: ':80' } } }, '/settings/wechat/listen'],
    [{ wechat: { jwtSecret: 'x' } }, "'jwtSecret'"],
    [{ wechat: { ingress: { enabled: true } } }, '/wechat/ingress/hosts'],
    [{ ...SERVERS, wechat: { enabled: true } }, 'AO_WECHAT__JWT_SECRET'],
    [{ settings: { tinode: { grpc_listen: ':80' } } }, '/settings/tinode/grpc_listen'],
    [{ tinode: { salt: 'x' } }, "'salt'"],
    [{ tinode: { ingress: { enabled: true } } }, '/tinode/ingress/hosts'],
    [{ ...SERVERS, tinode: { enabled: true } }, 'settings.tinode.s3_endpoint'],
    [{ podDisruptionBudget: { maxUnavailable: 0 } }, '/podDisruptionBudget/maxUnavailable'],
    [{ drain: { seconds: '30s' } }, '/drain/seconds'],
    [{ store: 'servers' }, 'AO_STORE__MESSAGES'],
    [{ store: 'servers', secrets: { values: { AO_STORE__MESSAGES: 'redis://redis' } } }, 'AO_STORE__TOKENS'],
  ]
  for (const [values, named] of wrong) {
    const { code, err } = await template(values)
    assert.notEqual(code, 0, JSON.stringify(values))
    assert(err.includes(named), `${JSON.stringify(values)}: ${err}`)
  }
})

test('each value is in the schema, and each of the schema is a value', async () => {
  const [values] = await yaml(await readFile(join(CHART, 'values.yaml'), 'utf8'))
  const schema = JSON.parse(await readFile(join(CHART, 'values.schema.json'), 'utf8'))
  const { global: _, ...known } = schema.properties
  assert.deepEqual(Object.keys(known).sort(), Object.keys(values).sort())
  for (const [name, { additionalProperties, properties }] of Object.entries(known)) {
    if (additionalProperties === false) assert.deepEqual(Object.keys(properties).sort(), Object.keys(values[name]).sort(), name)
  }
  // That of the one is that of the other.
  for (const { ingress } of [values.wechat, values.tinode]) assert.deepEqual(Object.keys(ingress), Object.keys(values.ingress))
})
