"""Trace sign-ups with OpenTelemetry: a span for each call, and within it one for each attempt.

    pip install opentelemetry-sdk opentelemetry-instrumentation-httpx
    STOQ_SHOP=demo python traced.py

The instrumentation of httpx sends the trace's id and the baggage to STOQ, so keep people's data
out of the baggage.
"""

from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter

from stoqapp import Stoq, StoqError

provider = TracerProvider()
tracer = provider.get_tracer("shop")


def trace_to(exporter: SpanExporter) -> None:
    """Send the spans of this process, and those of httpx, to *exporter*."""
    provider.add_span_processor(BatchSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)


def sign_up(stoq: Stoq, variant: int, product: int, email: str) -> bool:
    """Put a customer on the waitlist; say whether they are on it now."""
    with tracer.start_as_current_span("stoq.subscribe") as span:
        try:
            outcome = stoq.subscribe(variant=variant, product=product, email=email).to_dict()
            is_listed = True
        except StoqError as error:
            outcome, is_listed = error.to_dict(), error.is_duplicate
        # Neither holds personal data.
        for name in ("error", "status", "attempts", "waited_seconds", "carried_out"):
            if (value := outcome.get(name)) is not None:
                span.set_attribute(f"stoq.{name}", value)
        return is_listed


if __name__ == "__main__":
    trace_to(ConsoleSpanExporter())
    with Stoq(total_timeout=8) as client:
        sign_up(client, 4711, 42, "ada@example.com")
    provider.shutdown()
