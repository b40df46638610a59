// An app around AndroidClient.java that stays when its client has ended. It prints what the client tells, and does what its standard input says.
import java.util.Scanner;

public class App {
    public static void main(String[] arguments) throws InterruptedException {
        AndroidClient client = new AndroidClient(arguments[0], arguments[1], arguments[2], System.getenv("TOKEN"), new AndroidClient.Screen() {
            @Override
            public void message(String sender, String text) {
                System.out.println(sender + ": " + text);
            }

            @Override
            public void notSent(String text, String reason) {
                System.out.println("not sent (" + reason + "): " + text);
            }

            @Override
            public void state(String state) {
                System.out.println(state);
            }

            @Override
            public void ended(String reason) {
                System.out.println("ended: " + reason);
            }
        });
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            switch (lines.nextLine()) {
                case "start" -> client.start();
                case "stop" -> client.stop();
                default -> {
                    client.close();
                    while (clientHasThread()) Thread.sleep(10);
                    client.start(); // without effect, and without an exception
                    System.out.println("closed");
                    System.exit(0);
                }
            }
        }
    }

    private static boolean clientHasThread() {
        return Thread.getAllStackTraces().keySet().stream().anyMatch(thread -> thread.getName().startsWith("pool-"));
    }
}
