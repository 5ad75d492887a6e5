import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * A program that knows Amazon's addresses and its credentials, and nothing of a proxy: on java.net.http.HttpClient, or
 * on HttpsURLConnection, as its first argument says.
 */
public class Unchanged {
    private static final String VENDOR = "application/vnd.spCampaign.v3+json";

    private interface Sender {
        /** The body of a 200; a null body is a GET. */
        String send(String address, String body, Map<String, String> headers) throws IOException, InterruptedException;
    }

    public static void main(String[] arguments) throws Exception {
        Sender sender = arguments[0].equals("HttpClient") ? Unchanged::byClient : Unchanged::byConnection;
        String id = System.getenv("AMAZON_ADS_CLIENT_ID");
        String form = "grant_type=refresh_token&refresh_token=" + encoded("AMAZON_ADS_REFRESH_TOKEN")
            + "&client_id=" + encoded("AMAZON_ADS_CLIENT_ID") + "&client_secret=" + encoded("AMAZON_ADS_CLIENT_SECRET");
        String login = sender.send("https://api.amazon.com/auth/o2/token", form,
            Map.of("Content-Type", "application/x-www-form-urlencoded"));

        Map<String, String> headers = new LinkedHashMap<>();
        headers.put("Authorization", "Bearer " + first(login, "\"access_token\": *\"([^\"]*)\""));
        headers.put("Amazon-Advertising-API-ClientId", id);
        String profiles = sender.send("https://advertising-api.amazon.com/v2/profiles", null, headers);

        headers.put("Amazon-Advertising-API-Scope", first(profiles, "\"profileId\": *(\\d+)"));
        headers.put("Content-Type", VENDOR);
        headers.put("Accept", VENDOR);
        String page = sender.send("https://advertising-api.amazon.com/sp/campaigns/list", "{\"maxResults\": 10}", headers);
        System.out.printf("{\"profiles\": %d, \"campaigns\": %d}%n", count(profiles, "profileId"), count(page, "campaignId"));
    }

    private static String byClient(String address, String body, Map<String, String> headers)
        throws IOException, InterruptedException {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(address));
        headers.forEach(request::header);
        if (body != null) request.POST(HttpRequest.BodyPublishers.ofString(body));
        HttpResponse<String> answer = CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IOException(answer.statusCode() + ": " + answer.body());
        return answer.body();
    }

    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    private static String byConnection(String address, String body, Map<String, String> headers) throws IOException {
        HttpURLConnection connection = (HttpURLConnection) URI.create(address).toURL().openConnection();
        headers.forEach(connection::setRequestProperty);
        if (body != null) {
            connection.setDoOutput(true);
            try (OutputStream stream = connection.getOutputStream()) {
                stream.write(body.getBytes(UTF_8));
            }
        }
        if (connection.getResponseCode() != 200) throw new IOException(connection.getResponseMessage());
        try (InputStream stream = connection.getInputStream()) {
            return new String(stream.readAllBytes(), UTF_8);
        }
    }

    private static String encoded(String variable) {
        return URLEncoder.encode(System.getenv(variable), UTF_8);
    }

    private static String first(String text, String pattern) {
        Matcher found = Pattern.compile(pattern).matcher(text);
        if (!found.find()) throw new IllegalStateException(text);
        return found.group(1);
    }

    private static long count(String text, String member) {
        return Pattern.compile("\"" + member + "\":").matcher(text).results().count();
    }
}
