package export

import (
	"compress/gzip"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// page is the scrape page: a pull reader of the SDK that returns the newest readings
// without timestamps, and the legacy names.
type page struct {
	reader  sdkmetric.Reader
	handler http.Handler
	text    *pageText
	// registry is the page as the exporter's registry writes it, uncompressed. It serves
	// what text does not, protobuf and name[], and text is tested against it.
	registry http.Handler
}

func newPage(p *Exporter) (*page, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		// host_name on every series identifies the host, in the store as on the page.
		otelprometheus.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("host.name")),
	)
	if err != nil {
		return nil, fmt.Errorf("scrape page: %w", err)
	}
	if p.options.Config.Prometheus.NodeExporter {
		if err := registry.Register(newLegacyCollector(p.machine, p.options.HostName)); err != nil {
			return nil, fmt.Errorf("scrape page: %w", err)
		}
	}
	inRegistry := promhttp.HandlerFor(gatherer{registry, customPage{p.machine, p.options.HostName}}, promhttp.HandlerOpts{
		EnableOpenMetrics:  true,
		ErrorHandling:      promhttp.ContinueOnError,
		ErrorLog:           scrapeLog{p.options.Log},
		DisableCompression: true,
	})
	// The handler's own compression level costs more than building the page; the fastest
	// one shrinks the repetitive text to a tenth too.
	compressed, err := gzhttp.NewWrapper(gzhttp.CompressionLevel(gzip.BestSpeed))
	if err != nil {
		return nil, fmt.Errorf("scrape page: %w", err)
	}
	text := newPageText(reader, p.machine, p.options.HostName, p.options.Config.Prometheus.NodeExporter, inRegistry)
	return &page{reader, compressed(text), text, inRegistry}, nil
}

// gatherer gathers our metrics and the custom ones. Merging checks every series again,
// so it is done only if there are custom ones.
type gatherer struct {
	ours   *prometheus.Registry
	custom customPage
}

// Gather implements prometheus.Gatherer.
func (g gatherer) Gather() ([]*dto.MetricFamily, error) {
	if reading, _ := g.custom.machine.Newest("custom"); reading == nil {
		return g.ours.Gather()
	}
	return prometheus.Gatherers{g.ours, g.custom}.Gather()
}

// scrapeLog writes errors of the page to the agent's log.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	l.log.Warn("cannot write the scrape page", "err", fmt.Sprint(v...))
}
