import io.socket.client.Ack;
import io.socket.client.IO;
import io.socket.client.Manager;
import io.socket.client.Socket;
import io.socket.engineio.client.Transport;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import okhttp3.OkHttpClient;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/**
 * Clients of io.socket:socket.io-client, 1.0 or 2.1, driven by lines of JSON on standard input; what they are told goes out in such lines:
 * see driven.mjs.
 */
public final class Clients {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final Map<Integer, Socket> SOCKETS = new HashMap<>();

    public static void main(String[] args) throws Exception {
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = orders.readLine(); line != null; line = orders.readLine()) {
            JSONObject order = new JSONObject(line);
            switch (order.getString("do")) {
                case "open":
                    open(order.getInt("client"), order);
                    break;
                case "emit":
                    emit(order.getInt("client"), order);
                    break;
                case "close":
                    SOCKETS.remove(order.getInt("client")).disconnect();
                    break;
                default:
                    throw new IllegalArgumentException(line);
            }
        }
        System.exit(0); // OkHttp's threads would go on for a while
    }

    private static void open(int number, JSONObject order) throws Exception {
        IO.Options options = new IO.Options();
        options.forceNew = true;
        options.transports = texts(order.getJSONArray("transports"));
        options.reconnectionDelay = 20;
        options.reconnectionDelayMax = 100;
        // Its own, as on a phone of its own: those who share one have five requests at a time to a host, which as many polls use up.
        // An answer to a poll takes up to 25 s. The library's own OkHttp waits for it; one from elsewhere has to be told.
        OkHttpClient http = new OkHttpClient.Builder().readTimeout(1, TimeUnit.MINUTES).build();
        options.callFactory = http;
        options.webSocketFactory = http;
        Socket socket = IO.socket(order.getString("url"), options);
        SOCKETS.put(number, socket);
        for (String event : texts(order.getJSONArray("events"))) {
            socket.on(event, payload -> tell(number, "event", array(event, payload)));
        }
        socket.on(Socket.EVENT_CONNECT, nothing -> tell(number, "connected", true));
        socket.on(Socket.EVENT_DISCONNECT, reason -> tell(number, "disconnected", reason[0]));
        socket.on(Socket.EVENT_CONNECT_ERROR, error -> tell(number, "trouble", String.valueOf(error[0])));
        Manager manager = socket.io();
        manager.on(Manager.EVENT_TRANSPORT, transport -> tell(number, "transport", ((Transport) transport[0]).name));
        manager.on(Manager.EVENT_OPEN, nothing -> engine(manager).on(io.socket.engineio.client.Socket.EVENT_UPGRADE,
            transport -> tell(number, "transport", ((Transport) transport[0]).name)));
        manager.on(Manager.EVENT_RECONNECT_ATTEMPT, count -> tell(number, "attempt", true));
        tell(number, "attempt", true);
        socket.connect();
    }

    private static void emit(int number, JSONObject order) throws JSONException {
        JSONArray payload = order.getJSONArray("payload");
        Object[] values = new Object[payload.length()];
        for (int i = 0; i < values.length; i++) values[i] = unpacked(payload.get(i));
        Socket socket = SOCKETS.get(number);
        if (!order.has("ack")) {
            socket.emit(order.getString("event"), values);
            return;
        }
        int ack = order.getInt("ack");
        socket.emit(order.getString("event"), values, (Ack) answer -> tell(number, "ack", ack, "answer", array(null, answer)));
    }

    /** As it was sent, and bytes where there is what Node writes for a Buffer. */
    private static Object unpacked(Object value) throws JSONException {
        if (!(value instanceof JSONObject)) return value;
        JSONObject object = (JSONObject) value;
        if ("Buffer".equals(object.opt("type"))) {
            JSONArray numbers = object.getJSONArray("data");
            byte[] bytes = new byte[numbers.length()];
            for (int i = 0; i < bytes.length; i++) bytes[i] = (byte) numbers.getInt(i);
            return bytes;
        }
        for (String name : names(object)) object.put(name, unpacked(object.get(name)));
        return object;
    }

    private static String[] names(JSONObject object) {
        String[] names = JSONObject.getNames(object);
        return names == null ? new String[0] : names;
    }

    /** The engine is not for applications. Nothing else tells when it changes from polling to a WebSocket. */
    private static io.socket.engineio.client.Socket engine(Manager manager) {
        try {
            Field field = Manager.class.getDeclaredField("engine");
            field.setAccessible(true);
            return (io.socket.engineio.client.Socket) field.get(manager);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void tell(int number, Object... news) {
        try {
            JSONObject line = new JSONObject().put("client", number);
            for (int i = 0; i < news.length; i += 2) line.put((String) news[i], news[i + 1]);
            OUT.println(line);
        } catch (JSONException error) {
            throw new IllegalStateException(error);
        }
    }

    private static JSONArray array(String first, Object[] more) {
        JSONArray all = new JSONArray();
        if (first != null) all.put(first);
        for (Object value : more) all.put(value == null ? JSONObject.NULL : value);
        return all;
    }

    private static String[] texts(JSONArray array) throws JSONException {
        String[] texts = new String[array.length()];
        for (int i = 0; i < texts.length; i++) texts[i] = array.getString(i);
        return texts;
    }
}
