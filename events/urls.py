"""Addresses of events: pages, and paths below /api/v1/."""

from django.urls import path

from events import (
    calendar_views,
    cohost_views,
    desk_urls,
    door_urls,
    host_views,
    invitation_views,
    moving_views,
    party_views,
    views,
)
from events.api import gatherings, invitations, parties

urlpatterns = [
    path("events/", views.event_list, name="events"),
    path("events/new/", host_views.event_new, name="event_new"),
    path("events/preview/", host_views.event_preview, name="event_preview"),
    path("events/mine/", views.my_events, name="my_events"),
    path("events/<id:pk>/", views.event_page, name="event"),
    path("events/<id:pk>/seats/", views.event_seats, name="event_seats"),
    path("events/<id:pk>/edit/", host_views.event_edit, name="event_edit"),
    path("events/<id:pk>/copy/", host_views.event_copy, name="event_copy"),
    path("events/<id:pk>/discard/", host_views.event_discard, name="event_discard"),
    path("events/<id:pk>/hosts/", cohost_views.event_hosts, name="event_hosts"),
    path("events/<id:pk>/call-off/", host_views.event_call_off, name="event_call_off"),
    path("events/<id:pk>/restore/", host_views.event_restore, name="event_restore"),
    path("events/<id:pk>/register/", views.event_register, name="event_register"),
    path("events/<id:pk>/guest/", party_views.event_guest, name="event_guest"),
    path("events/<id:pk>/invitations/", invitation_views.event_invitations, name="event_invitations"),
    path("invitations/allow/", invitation_views.invitations_allow, name="invitations_allow"),
    path("invitations/<id:pk>/", invitation_views.invitation, name="invitation"),
    path("registrations/<id:pk>/guest/", party_views.registration_guest, name="registration_guest"),
    path("registrations/<id:pk>/", views.registration_page, name="registration"),
    path("registrations/<id:pk>/party/", views.registration_party, name="registration_party"),
    path("registrations/<id:pk>/offer/", views.registration_offer, name="registration_offer"),
    path("registrations/<id:pk>/still/", party_views.registration_still, name="registration_still"),
    path("registrations/<id:pk>/decide/", party_views.registration_decide, name="registration_decide"),
    path("registrations/<id:pk>/cancel/", views.registration_cancel, name="registration_cancel"),
    path("registrations/<id:pk>/move/", moving_views.registration_move, name="registration_move"),
    path("events/<id:pk>.ics", calendar_views.event_ics, name="event_ics"),
    path("circles/<slug:slug>.ics", calendar_views.circle_ics, name="circle_ics"),
    path("centres/<slug:slug>.ics", calendar_views.centre_ics, name="centre_ics"),
    path("calendar/new-address/", calendar_views.calendar_new_address, name="calendar_new_address"),
    path("calendar/<str:token>.ics", calendar_views.member_ics, name="member_ics"),
    *door_urls.urlpatterns,
    *desk_urls.urlpatterns,
]

api = [
    path("events/", gatherings.EventList.as_view(), name="api_events"),
    path("events/<id:pk>/", gatherings.EventDetail.as_view(), name="api_event"),
    path("events/<id:pk>/cancel/", gatherings.EventCancel.as_view(), name="api_event_cancel"),
    path("events/<id:pk>/restore/", gatherings.EventRestore.as_view(), name="api_event_restore"),
    path(
        "events/<id:pk>/registrations/", parties.EventRegistrations.as_view(), name="api_event_registrations"
    ),
    path("events/<id:pk>/invitations/", invitations.EventInvitations.as_view(), name="api_event_invitations"),
    path(
        "events/<id:pk>/invitations/again/",
        invitations.EventInvitationsAgain.as_view(),
        name="api_event_invitations_again",
    ),
    path("invitations/", invitations.InvitationList.as_view(), name="api_invitations"),
    path("invitations/<id:pk>/", invitations.InvitationDetail.as_view(), name="api_invitation"),
    path(
        "invitations/<id:pk>/restore/",
        invitations.InvitationRestore.as_view(),
        name="api_invitation_restore",
    ),
    path(
        "invitations/<id:pk>/decline/",
        invitations.InvitationDecline.as_view(),
        name="api_invitation_decline",
    ),
    path("invitation-stops/", invitations.StopList.as_view(), name="api_invitation_stops"),
    path("invitation-stops/<id:pk>/", invitations.StopDetail.as_view(), name="api_invitation_stop"),
    path("registrations/<id:pk>/", parties.RegistrationDetail.as_view(), name="api_registration"),
    path("registrations/<id:pk>/move/", parties.RegistrationMove.as_view(), name="api_registration_move"),
    path("registrations/<id:pk>/accept/", parties.OfferAccept.as_view(), name="api_offer_accept"),
    path("registrations/<id:pk>/decline/", parties.OfferDecline.as_view(), name="api_offer_decline"),
    path("registrations/<id:pk>/approve/", parties.PartyApprove.as_view(), name="api_party_approve"),
    path("registrations/<id:pk>/turn-down/", parties.PartyTurnDown.as_view(), name="api_party_turn_down"),
    path("series/", gatherings.SeriesList.as_view(), name="api_series_list"),
    path("series/preview/", gatherings.SeriesPreview.as_view(), name="api_series_preview"),
    path("series/<id:pk>/", gatherings.SeriesDetail.as_view(), name="api_series"),
    *door_urls.api,
]
