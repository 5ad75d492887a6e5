// The reverse proxy that anybody would write in Go: httputil.ReverseProxy with a transport that keeps connections,
// the three header fields, and a line of log for each request, buffered and written once a second. Standard library only.
//
// usage: reverse_proxy LISTEN UPSTREAM CA_FILE
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

// accessLog writes lines into a buffer of 64 KiB that is emptied when full, and once a second.
type accessLog struct {
	lock   sync.Mutex
	buffer *bufio.Writer
}

func (a *accessLog) line(request *http.Request, status int, size int64, took time.Duration) {
	a.lock.Lock()
	defer a.lock.Unlock()
	line := a.buffer.AvailableBuffer()
	line = time.Now().AppendFormat(line, time.RFC3339)
	line = append(line, ' ')
	line = append(line, request.RemoteAddr...)
	line = append(line, ' ')
	line = append(line, request.Method...)
	line = append(line, ' ')
	line = append(line, request.RequestURI...)
	line = append(line, ' ')
	line = strconv.AppendInt(line, int64(status), 10)
	line = append(line, ' ')
	line = strconv.AppendInt(line, size, 10)
	line = append(line, ' ')
	line = strconv.AppendInt(line, took.Microseconds(), 10)
	a.buffer.Write(append(line, '\n'))
}

func (a *accessLog) flushForever() {
	for range time.Tick(time.Second) {
		a.lock.Lock()
		a.buffer.Flush()
		a.lock.Unlock()
	}
}

// counted notes status and size of a response on its way.
type counted struct {
	http.ResponseWriter
	status int
	size   int64
}

func (c *counted) WriteHeader(status int) { c.status = status; c.ResponseWriter.WriteHeader(status) }

func (c *counted) Write(data []byte) (int, error) {
	written, err := c.ResponseWriter.Write(data)
	c.size += int64(written)
	return written, err
}

func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// buffers are what ReverseProxy copies bodies through; without a pool it makes a new one for each request.
type buffers struct{ sync.Pool }

func (b *buffers) Get() []byte       { return *b.Pool.Get().(*[]byte) }
func (b *buffers) Put(buffer []byte) { b.Pool.Put(&buffer) }

func transport(caFile string) *http.Transport {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		log.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: trusted},
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     10 * time.Minute,
		DisableCompression:  true,
	}
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: reverse_proxy LISTEN UPSTREAM CA_FILE")
	}
	upstream, err := url.Parse(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	access := &accessLog{buffer: bufio.NewWriterSize(os.Stdout, 64*1024)}
	go access.flushForever()
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Header.Set("Authorization", "Bearer Atza|benchmark")
			r.Out.Header.Set("Amazon-Advertising-API-ClientId", "x")
			r.Out.Header.Set("Amazon-Ads-ClientId", "x")
		},
		Transport:  transport(os.Args[3]),
		BufferPool: &buffers{sync.Pool{New: func() any { made := make([]byte, 32*1024); return &made }}},
	}
	handler := http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		start := time.Now()
		seen := &counted{ResponseWriter: response, status: 200}
		proxy.ServeHTTP(seen, request)
		access.line(request, seen.status, seen.size, time.Since(start))
	})
	fmt.Fprintln(os.Stderr, "listening on", os.Args[1])
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
