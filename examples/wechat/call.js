// One call with picture and sound, from the first ring to the end, by WebRTC. Its frames go through a Client:
//
//   invite-offer → invite-accept → video-offer (the caller's) → video-answer → candidates, both ways → hang-up
//   invite-offer → invite-refuse, or invite-cancel
//
// Frames to somebody who is not there are lost, and carry no number. So whoever rings rings again and again, what does not belong to a call is ignored, and whoever
// comes back while a call is being connected says again what the other may have missed. A call that is connected goes on while its clients have lost the server:
// pictures take a way of their own.
const RING = 5_000 // ms between two invitations
const PATIENCE = 60_000 // ms until nobody answers
const RECOVERY = 20_000 // ms for a way that was lost to be found again

/**
 * Tells by events: `change`, whenever `phase`, `remote` or `local` did; and `end`, whose `detail` is why:
 * `hung up`, `refused`, `cancelled`, `no answer`, `lost`, `failed`, or `replaced` (by another window,
 * before anybody answered). Phases: `ringing` (we are called), `inviting` (we call), `connecting`,
 * `talking`, `recovering`, `ended`.
 */
export class Call extends EventTarget {
  /** Pictures and sound of both. */
  local
  remote = new MediaStream()
  #connection
  #candidates = []
  /** Frames that wait for the client's connection to the server. */
  #unsent = []
  #ring
  #limit
  /** Frames are handled one after the other, as what they do takes time. */
  #turn = Promise.resolve()

  /** `incoming`: the peer has called us. `policy`: `all`, or `relay` for a call that goes through TURN in any case. */
  constructor(client, peer, { incoming = false, policy = 'all' } = {}) {
    super()
    Object.assign(this, { client, peer, incoming, policy, phase: incoming ? 'ringing' : 'inviting' })
    this.#allow(PATIENCE)
    client.addEventListener('state', this.#returned)
    if (!incoming) {
      this.#invite()
      this.#ring = setInterval(() => this.#invite(), RING)
    }
  }

  /** We are called, and answer. */
  accept() {
    if (this.phase !== 'ringing') return
    this.#connect()
    // The devices first: the caller's offer comes at once.
    this.#queue(async () => {
      await this.#open()
      this.#signal('invite-accept')
    })
  }

  /** Ends it, in whatever phase it is. */
  hangUp() {
    this.#signal({ ringing: 'invite-refuse', inviting: 'invite-cancel' }[this.phase] ?? 'hang-up')
    this.#end({ ringing: 'refused', inviting: 'cancelled' }[this.phase] ?? 'hung up')
  }

  /** Whether our sound (`audio`) or picture (`video`) goes out. @returns how it is now; undefined where there is no such device */
  toggle(kind) {
    const track = this.local?.getTracks().find(track => track.kind === kind)
    if (track) track.enabled = !track.enabled
    return track?.enabled
  }

  /** A frame of our peer. */
  heard({ type, payload }) {
    if (this.phase === 'ended') return
    const handle = {
      'invite-offer': () => this.#invited(),
      'invite-accept': () => this.phase === 'inviting' ? this.#accepted() : this.#offerAgain(),
      'invite-refuse': () => this.phase === 'inviting' && this.#end('refused'),
      'invite-cancel': () => this.phase === 'ringing' && this.#end('cancelled'),
      'video-offer': () => this.#queue(() => this.#answer(payload.sdp)),
      'video-answer': () => this.#queue(() => this.#connection?.signalingState === 'have-local-offer' && this.#describe(payload.sdp)),
      'new-ice-candidate': () => this.#queue(() => this.#candidate(payload.candidate)),
      'hang-up': () => this.#end('hung up'),
    }[type]
    handle?.()
  }

  /** The client is connected to the server again. */
  #returned = () => {
    // Another window of ours rings, and hears the answer.
    if (this.client.state === 'replaced' && ['ringing', 'inviting'].includes(this.phase)) return this.#end('replaced')
    if (this.client.state !== 'online') return
    for (const [type, more] of this.#unsent.splice(0)) this.#signal(type, more)
    if (this.phase === 'ended') return this.client.removeEventListener('state', this.#returned)
    this.#acceptAgain()
    this.#offerAgain()
  }

  #invite() { this.client.signal('invite-offer', this.peer) }

  #invited() {
    this.#acceptAgain()
    // Both call each other at the same moment: one of the two gives way, and answers.
    if (this.phase === 'inviting' && this.client.phone < this.peer) {
      clearInterval(this.#ring)
      this.incoming = true
      this.phase = 'ringing'
      this.accept()
    }
  }

  #acceptAgain() { if (this.incoming && this.phase === 'connecting' && this.#connection) this.#signal('invite-accept') }

  #offerAgain() {
    if (this.#connection?.signalingState === 'have-local-offer') this.#signal('video-offer', { sdp: this.#connection.localDescription })
  }

  #accepted() {
    clearInterval(this.#ring)
    this.#connect()
    this.#queue(async () => {
      await this.#open()
      await this.#offer()
    })
  }

  /** Camera and microphone, what of them is there, and a connection that takes the other's in any case. */
  async #open() {
    const iceServers = await this.client.iceServers().catch(() => [])
    this.local = await devices()
    if (this.phase === 'ended') return this.#release()
    const connection = this.#connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: this.policy })
    for (const kind of ['audio', 'video']) {
      const track = this.local.getTracks().find(track => track.kind === kind)
      // The callee's answer takes over the caller's transceivers; a track that is added finds its own.
      if (track) connection.addTrack(track, this.local)
      else if (!this.incoming) connection.addTransceiver(kind, { direction: 'recvonly' })
    }
    connection.addEventListener('track', ({ track }) => { this.remote.addTrack(track); this.#changed() })
    connection.addEventListener('icecandidate', ({ candidate }) => { if (candidate) this.#signal('new-ice-candidate', { candidate: candidate.toJSON() }) })
    connection.addEventListener('connectionstatechange', () => this.#moved(connection.connectionState))
    this.#changed()
  }

  #moved(state) {
    if (this.phase === 'ended') return
    if (state === 'connected') {
      clearTimeout(this.#limit)
      this.since ??= Date.now()
      this.#be('talking')
    } else if (['disconnected', 'failed'].includes(state)) {
      if (this.phase !== 'recovering') {
        this.#allow(RECOVERY)
        this.#be('recovering')
      }
      // One of the two looks for another way: whoever has called.
      if (state === 'failed' && !this.incoming) this.#queue(() => this.#offer({ iceRestart: true }))
    }
  }

  async #offer(options) {
    if (!this.#connection) return
    await this.#connection.setLocalDescription(await this.#connection.createOffer(options))
    this.#signal('video-offer', { sdp: this.#connection.localDescription })
  }

  async #answer(sdp) {
    if (!this.#connection || !this.incoming) return
    await this.#describe(sdp)
    await this.#connection.setLocalDescription()
    this.#signal('video-answer', { sdp: this.#connection.localDescription })
  }

  async #describe(sdp) {
    await this.#connection.setRemoteDescription(sdp)
    for (const candidate of this.#candidates.splice(0)) await this.#candidate(candidate)
  }

  /** Candidates may come before what they belong to. One that does not fit is no harm. */
  async #candidate(candidate) {
    if (!this.#connection?.remoteDescription) this.#candidates.push(candidate)
    else await this.#connection.addIceCandidate(candidate).catch(() => {})
  }

  #signal(type, more) { if (!this.client.signal(type, this.peer, more)) this.#unsent.push([type, more]) }

  #queue(step) {
    this.#turn = this.#turn.then(() => this.phase === 'ended' ? undefined : step()).catch(error => {
      console.warn('the call failed:', error)
      if (this.phase === 'ended') return
      this.#signal('hang-up')
      this.#end('failed')
    })
  }

  #giveUp() {
    const hasRung = ['ringing', 'inviting'].includes(this.phase)
    if (this.phase === 'inviting') this.#signal('invite-cancel')
    else if (this.phase !== 'ringing') this.#signal('hang-up')
    this.#end(hasRung ? 'no answer' : 'lost')
  }

  #connect() {
    this.#allow(PATIENCE)
    this.#be('connecting')
  }

  #allow(time) {
    clearTimeout(this.#limit)
    this.#limit = setTimeout(() => this.#giveUp(), time)
  }

  #be(phase) {
    this.phase = phase
    this.#changed()
  }

  #changed() { this.dispatchEvent(new Event('change')) }

  #end(why) {
    if (this.phase === 'ended') return
    this.phase = 'ended'
    clearInterval(this.#ring)
    clearTimeout(this.#limit)
    this.#release()
    if (this.#unsent.length === 0) this.client.removeEventListener('state', this.#returned)
    this.dispatchEvent(new CustomEvent('end', { detail: why }))
  }

  #release() {
    for (const track of this.local?.getTracks() ?? []) track.stop()
    this.#connection?.close()
  }
}

/** Camera and microphone; one of the two, or nothing, where there is no more, or it was not allowed. */
async function devices() {
  for (const wanted of [{ audio: true, video: { facingMode: 'user' } }, { audio: true }, { video: true }]) {
    try {
      return await navigator.mediaDevices.getUserMedia(wanted)
    } catch { /* less, then. Pages that came by plain http from another machine have no mediaDevices at all */ }
  }
  return new MediaStream()
}
