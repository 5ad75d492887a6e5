// A program on Go's default HTTP client that knows Amazon's addresses and its credentials, and nothing of a proxy.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const vendor = "application/vnd.spCampaign.v3+json"

// read sends the request and decodes its answer.
func read(request *http.Request, into any) {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		log.Fatal(answer.Status, " ", string(body), " ", err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		log.Fatal(err)
	}
}

func request(method, address, body string, headers map[string]string) *http.Request {
	made, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	for name, value := range headers {
		made.Header.Set(name, value)
	}
	return made
}

func main() {
	id := os.Getenv("AMAZON_ADS_CLIENT_ID")
	form := url.Values{
		"grant_type":    {"refresh_token"},
		"refresh_token": {os.Getenv("AMAZON_ADS_REFRESH_TOKEN")},
		"client_id":     {id},
		"client_secret": {os.Getenv("AMAZON_ADS_CLIENT_SECRET")},
	}
	var login struct {
		AccessToken string `json:"access_token"`
	}
	read(request("POST", "https://api.amazon.com/auth/o2/token", form.Encode(),
		map[string]string{"Content-Type": "application/x-www-form-urlencoded"}), &login)

	headers := map[string]string{
		"Authorization":                   "Bearer " + login.AccessToken,
		"Amazon-Advertising-API-ClientId": id,
	}
	var profiles []struct {
		ProfileID json.Number `json:"profileId"`
	}
	read(request("GET", "https://advertising-api.amazon.com/v2/profiles", "", headers), &profiles)

	headers["Amazon-Advertising-API-Scope"] = profiles[0].ProfileID.String()
	headers["Content-Type"], headers["Accept"] = vendor, vendor
	var page struct {
		Campaigns []json.RawMessage `json:"campaigns"`
	}
	read(request("POST", "https://advertising-api.amazon.com/sp/campaigns/list", `{"maxResults": 10}`, headers), &page)
	fmt.Printf("{\"profiles\": %d, \"campaigns\": %d}\n", len(profiles), len(page.Campaigns))
}
