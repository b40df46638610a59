// A room in an Android app: sends and receives, and goes on where it was when the network fails or the user comes back. It is plain Java with the library
// that Android apps use, so it also runs on a PC, where it prints what others write and sends the lines of its standard input.
//
// It needs a JDK 17 and Maven, a running server (cargo run --release), and a token (ADMIN_UID=… ADMIN_TOKEN=… sh examples/create-token.sh alice).
// An app gets uid and token from its business server, over https; the administrator's token must never be in an app. In a folder of its own, with this
// file in it:
//
//   for jar in io.socket:socket.io-client:2.1.2 io.socket:engine.io-client:2.1.0 com.squareup.okhttp3:okhttp:3.12.12 \
//     com.squareup.okio:okio:1.15.0 org.json:json:20090211; do mvn -q dependency:copy -Dartifact=$jar -DoutputDirectory=lib; done
//   TOKEN=… java -cp 'lib/*' AndroidClient.java http://127.0.0.1:3000 plans alice
//
// In an app, in build.gradle: implementation('io.socket:socket.io-client:2.1.2') { exclude group: 'org.json', module: 'json' }, as Android has org.json.
// The manifest needs the permission INTERNET, and for a server without https, as here, android:usesCleartextTraffic="true".
//
// Where Android's lifecycle comes in:
// - The client belongs to a ViewModel, so that it survives the turning of the screen. onCleared() calls close().
// - onStart() of the activity calls start(), onStop() calls stop(): Android freezes apps in the background, and a frozen client is one that the server
//   drops half a minute later. Nothing is missed by that: start() reads what was said meanwhile. To be woken use push messages (FCM).
// - A client that has ended (kicked out, refused) stays away, also when the app comes to the front again. If the user wants to come back, make a new one.
// - Position and messages are in memory here, and begin at 0 with the process, which Android may end at any time. An app that keeps messages in a
//   database keeps the position there too, written in the same transaction (resume.mjs does that with a file), and its unsent messages.
import io.socket.client.AckWithTimeout;
import io.socket.client.IO;
import io.socket.client.Socket;
import java.net.URI;
import java.util.ArrayDeque;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Scanner;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.json.JSONArray;
import org.json.JSONObject;

public class AndroidClient {
    /** What the app shows. Called on the client's thread: pass it on with runOnUiThread, or with LiveData.postValue. */
    interface Screen {
        void message(String sender, String text);

        /** A message that the server does not take, and never will. */
        void notSent(String text, String reason);

        void state(String state);

        /** The server does not want this client, which is over now. Told once. To come back, if the user wants to, make a new one. */
        void ended(String reason);
    }

    private static final long ACK_PATIENCE = 30_000; // ms; the server itself waits for its store for 10 s and more
    private static final long PAUSE = 2_000; // ms before a try that failed is repeated
    private static final List<String> RETRYABLE = Arrays.asList("store unavailable", "outcome unknown");

    private static class Pending {
        final JSONObject message;
        int attempt;

        Pending(JSONObject message) {
            this.message = message;
        }
    }

    private final String room;
    private final String uid;
    private final String token;
    private final Screen screen;
    private final Socket socket;
    /** All that follows is touched on this thread only. The library calls us on one of its own; what comes after close() is discarded. */
    private final ScheduledExecutorService thread = new ScheduledThreadPoolExecutor(1, new ThreadPoolExecutor.DiscardPolicy());
    private boolean wanted; // whether the app wants a connection: start() or stop()
    private boolean ended; // for good
    private int have; // the inserts of the room's log that were shown: where the next sync starts
    private int from; // where the last one started
    private boolean live; // whether the log was read to its end, so that messages go straight out and in
    private final ArrayDeque<JSONObject> queue = new ArrayDeque<>(); // what comes meanwhile
    private final Set<String> seen = new HashSet<>(); // the keys of what was shown
    private final Map<String, Pending> pending = new LinkedHashMap<>(); // ours that are not known to be stored

    public AndroidClient(String url, String room, String uid, String token, Screen screen) {
        this.room = room;
        this.uid = uid;
        this.token = token;
        this.screen = screen;
        // It comes back by itself after a loss, with a growing and random pause. A Manager of its own (forceNew), as rooms may have different lives.
        IO.Options options = IO.Options.builder().setTransports(new String[] {"websocket"}).setReconnectionDelayMax(30_000).setForceNew(true).build();
        socket = IO.socket(URI.create(url), options);
        on(Socket.EVENT_CONNECT, nothing -> socket.emit("authenticate", json("uid", uid, "token", token)));
        on("authenticate", this::authenticated);
        on("join", this::joined);
        on("sync", this::page);
        on("msg", message -> {
            if (live) receive(message);
            else queue.add(message);
        });
        on("kickout", nothing -> end("signed in elsewhere")); // coming back would throw the other one out
        socket.on(Socket.EVENT_DISCONNECT, reason -> thread.execute(() -> disconnected(String.valueOf(reason[0]))));
        on(Socket.EVENT_CONNECT_ERROR, error -> screen.state("no connection, trying again"));
    }

    /** Calls `handle` on our thread with the event's object, or with an empty one if it has none. */
    private void on(String event, Consumer<JSONObject> handle) {
        socket.on(event, values -> {
            JSONObject value = values.length > 0 && values[0] instanceof JSONObject ? (JSONObject) values[0] : new JSONObject();
            thread.execute(() -> handle.accept(value));
        });
    }

    // ---- For the app ----

    /** Without effect on a client that has ended: it would throw the other one out. */
    public void start() {
        thread.execute(() -> {
            if (ended) return;
            wanted = true;
            socket.connect();
        });
    }

    public void stop() {
        thread.execute(() -> {
            wanted = false;
            socket.disconnect();
        });
    }

    /** For good. Without it the thread would stay as long as the process. */
    public void close() {
        thread.execute(() -> {
            socket.off();
            socket.disconnect();
            thread.shutdownNow(); // with all that still waits
        });
    }

    /** It is shown at once, and sent as soon as there is a connection, over as many as it takes. */
    public void send(String text) {
        thread.execute(() -> {
            JSONObject message = json("storage", 0, "msgId", UUID.randomUUID().toString(), "text", text);
            String key = keyOf(message, uid);
            pending.put(key, new Pending(message));
            seen.add(key);
            screen.message(uid, text);
            if (live) transmit(key);
        });
    }

    // ---- In ----

    private void authenticated(JSONObject answer) {
        String reason = answer.optString("data");
        if (answer.optInt("status") == 0) socket.emit("join", json("roomId", room));
        else if (reason.equals("server error") || reason.equals("reach rate limit")) screen.state(reason + ", trying again"); // the server drops us in a moment, and we come back; if it refuses us, `disconnected` says so
        else end(reason); // with a wrong token: ask your business server for a new one
    }

    private void joined(JSONObject answer) {
        if (answer.optInt("status") == 0) {
            catchUp();
        } else if (answer.optString("data").equals("server error")) {
            socket.disconnect();
            thread.schedule(() -> { if (wanted) start(); }, PAUSE, TimeUnit.MILLISECONDS);
        } else {
            end(answer.optString("data"));
        }
    }

    private void disconnected(String reason) {
        live = false;
        queue.clear();
        if (reason.equals("io server disconnect")) end("the server ended the session"); // it did so for good, and socket.io stays away
        else if (!ended) screen.state(reason.equals("io client disconnect") ? "offline" : "connection lost, coming back");
    }

    /** The first reason is the one that tells most: DISCONNECT follows the others. */
    private void end(String reason) {
        if (ended) return;
        ended = true;
        socket.disconnect();
        screen.ended(reason);
    }

    // ---- Catching up: pages of the log from our position on (docs/PROTOCOL.md, "A resume recipe") ----

    private void catchUp() {
        live = false;
        from = have;
        // With `resume` the answer has `log`, the position behind the page. Its `offset` counts updates too: who resumes there skips inserts.
        socket.emit("sync", json("offset", from, "resume", true));
    }

    private void page(JSONObject answer) {
        int log = answer.optInt("log");
        if (log < from) { // somebody cleared the room
            have = 0;
            catchUp(); // `seen` stays: what was said after the clearing may have been shown live
            return;
        }
        JSONArray messages = answer.optJSONArray("data");
        for (int i = 0; i < messages.length(); i++) {
            if (messages.opt(i) instanceof JSONObject) handOut(messages.optJSONObject(i));
        }
        have = log;
        if (answer.optInt("next") == 1) {
            catchUp();
            return;
        }
        live = true;
        while (live && !queue.isEmpty()) receive(queue.remove());
        if (!live) return; // one of them has to be read from the log
        screen.state("online");
        for (String key : pending.keySet()) transmit(key);
    }

    private void receive(JSONObject message) {
        // It may have been in a page already: that is known by its sender and id. One without an id is rather read from the log.
        if (kindOf(message) == 0 && idOf(message) == null) catchUp();
        else if (handOut(message)) have++; // counting too few does no harm, as what is read again was seen; counting too many would skip messages
    }

    /** Only inserts are messages here. Updates (1) come whole with each last page and replace what has their id; 2 is for the moment. */
    private boolean handOut(JSONObject message) {
        if (kindOf(message) != 0) return false;
        String key = keyOf(message, message.opt("2"));
        pending.remove(key);
        if (idOf(message) != null && !seen.add(key)) return false;
        screen.message(message.optString("2"), message.optString("text"));
        return true;
    }

    // ---- Sending ----

    /** Only while `live`: socket.io keeps what is sent without a connection, and would send it before `authenticate`, where it has no effect. */
    private void transmit(String key) {
        Pending entry = pending.get(key);
        int attempt = ++entry.attempt;
        // The same id each time: if it is stored twice, receivers show it once.
        Runnable again = () -> {
            if (live && pending.get(key) == entry && entry.attempt == attempt) transmit(key);
        };
        socket.emit("msg", new Object[] {entry.message}, new AckWithTimeout(ACK_PATIENCE) {
            @Override
            public void onSuccess(Object... values) {
                thread.execute(() -> acknowledged(key, entry, (JSONObject) values[0], again));
            }

            @Override
            public void onTimeout() {
                thread.execute(again);
            }
        });
    }

    private void acknowledged(String key, Pending entry, JSONObject answer, Runnable again) {
        String reason = answer.optString("data");
        if (answer.optInt("status") == 0) {
            if (pending.remove(key, entry) && live) have++; // else a page had it, or one that is on its way counts it
        } else if (RETRYABLE.contains(reason)) {
            thread.schedule(again, PAUSE + (long) (Math.random() * PAUSE), TimeUnit.MILLISECONDS);
        } else if (pending.remove(key, entry)) {
            screen.notSent(entry.message.optString("text"), reason);
        }
    }

    // ---- Messages have short keys or long ones: 0 insert, 1 update, 2 ignore in `s` or `storage`, the id in `1` or `msgId`, the sender in `2`. ----

    private static int kindOf(JSONObject message) {
        String kind = String.valueOf(message.has("s") ? message.opt("s") : message.opt("storage"));
        return kind.equals("1") ? 1 : kind.equals("2") ? 2 : 0;
    }

    private static Object idOf(JSONObject message) {
        return message.has("1") ? message.opt("1") : message.opt("msgId");
    }

    private static String keyOf(JSONObject message, Object sender) {
        return new JSONArray(Arrays.asList(String.valueOf(sender), String.valueOf(idOf(message)))).toString();
    }

    private static JSONObject json(Object... keysAndValues) {
        Map<String, Object> fields = new HashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) fields.put((String) keysAndValues[i], keysAndValues[i + 1]);
        return new JSONObject(fields);
    }

    // ---- On a PC: /stop and /start stand for onStop() and onStart(). ----

    public static void main(String[] arguments) {
        String token = System.getenv("TOKEN");
        if (arguments.length != 3 || token == null) {
            System.err.println("usage: TOKEN=… java -cp 'lib/*' AndroidClient.java URL ROOM UID");
            System.exit(2);
        }
        AndroidClient client = new AndroidClient(arguments[0], arguments[1], arguments[2], token, new Screen() {
            @Override
            public void message(String sender, String text) {
                System.out.println(sender + ": " + text);
            }

            @Override
            public void notSent(String text, String reason) {
                System.err.println("not sent (" + reason + "): " + text);
            }

            @Override
            public void state(String state) {
                System.err.println(state);
            }

            @Override
            public void ended(String reason) {
                System.err.println("ended: " + reason);
                System.exit(1);
            }
        });
        client.start();
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String line = lines.nextLine();
            if (line.equals("/stop")) client.stop();
            else if (line.equals("/start")) client.start();
            else client.send(line);
        }
    }
}
