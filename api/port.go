package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// port is a server on an address of its own beside that of the API.
type port struct {
	// name is what is served there, option where its address is configured.
	name, option, address string
	http                  *http.Server
	listener              net.Listener
	// serve answers on the listener until the server is closed.
	serve func(net.Listener) error
}

// Listen takes the address. After it, Run or Close must be called.
func (p *port) Listen() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.address)
	if err != nil {
		return listenError(p.option, p.address, err)
	}
	p.listener = listener
	return nil
}

// Addr is the address that is listened on, nil before Listen.
func (p *port) Addr() net.Addr {
	if p.listener == nil {
		return nil
	}
	return p.listener.Addr()
}

// Run answers until the context ends.
func (p *port) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- p.serve(p.listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", p.name, err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	err := p.http.Shutdown(ctx)
	if err != nil {
		err = p.http.Close()
	}
	return errors.Join(unlessClosed(err), unlessClosed(<-served))
}

// Close gives the address back where Run was never called.
func (p *port) Close() error {
	err := p.http.Close()
	if p.listener != nil {
		err = errors.Join(err, p.listener.Close())
	}
	return unlessClosed(err)
}
