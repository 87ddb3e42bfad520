package pipeline

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// page is the Prometheus page: a pull reader of the SDK that always shows the
// newest reading, without timestamps, and beside it the seed's names.
type page struct {
	reader  sdkmetric.Reader
	handler http.Handler
}

func newPage(p *Pipeline) (*page, error) {
	registry := prometheus.NewRegistry()
	reader, err := otelprometheus.New(
		otelprometheus.WithRegisterer(registry),
		otelprometheus.WithoutScopeInfo(),
		// host_name on every series is the host's identity, in the store and on
		// the page alike.
		otelprometheus.WithResourceAsConstantLabels(attribute.NewAllowKeysFilter("host.name")),
	)
	if err != nil {
		return nil, fmt.Errorf("prometheus page: %w", err)
	}
	if p.options.Config.Prometheus.NodeExporter {
		if err := registry.Register(newSeedNames(p.Sampler, p.options.HostName)); err != nil {
			return nil, fmt.Errorf("prometheus page: %w", err)
		}
	}
	return &page{reader, promhttp.HandlerFor(prometheus.Gatherers{registry, customPage{p.Sampler, p.options.HostName}}, promhttp.HandlerOpts{
		EnableOpenMetrics: true,
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          scrapeLog{p.options.Log},
	})}, nil
}

// scrapeLog gives what goes wrong on the page to the agent's log.
type scrapeLog struct{ log *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) { l.log.Warn("prometheus page", "err", fmt.Sprint(v...)) }
