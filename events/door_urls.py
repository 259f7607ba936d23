"""Addresses of the door: pages, and paths below /api/v1/."""

from django.urls import path

from events import door_api, door_views

urlpatterns = [
    path("events/<id:pk>/door/", door_views.door, name="door"),
    path("events/<id:pk>/guests/", door_views.guests, name="guests"),
    path("events/<id:pk>/guests.csv", door_views.guests_csv, name="guests_csv"),
    path("events/<id:pk>/guests/print/", door_views.guests_print, name="guests_print"),
    path("events/<id:pk>/guests/add/", door_views.guests_add, name="guests_add"),
    path("events/<id:pk>/guests/scan/", door_views.guests_scan, name="guests_scan"),
    path("events/<id:pk>/guests/letter/", door_views.guests_letter, name="guests_letter"),
    path("events/<id:pk>/guests/helpers/", door_views.helpers, name="door_helpers"),
    path("events/<id:pk>/guests/pairing/", door_views.pairing, name="door_pairing"),
    path("events/<id:pk>/guests/gates/", door_views.gate_close, name="gate_close"),
    path("gate/", door_views.gate, name="gate"),
]

api = [
    path("gates/", door_api.Gates.as_view(), name="api_gates"),
    path("gates/<id:pk>/", door_api.GateDetail.as_view(), name="api_gate"),
    path("check-ins/", door_api.CheckIns.as_view(), name="api_check_ins"),
    path("events/<id:pk>/door/", door_api.DoorLog.as_view(), name="api_door"),
    path("registrations/<id:pk>/qr/", door_api.TicketPicture.as_view(), name="ticket_svg"),
]
